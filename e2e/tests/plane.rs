//! The control plane that stands alone.
#![allow(clippy::unwrap_used)] // A step of a scenario fails as the scenario does.

use std::net::TcpStream;

use chatbot_e2e::plane::Plane;

#[test]
#[ignore = "needs the programs of Kubernetes"]
fn two_control_planes_stand_side_by_side_and_leave_nothing() {
    let [one, other] = [Plane::start().unwrap(), Plane::start().unwrap()];
    let space = one.namespace("only-here").unwrap();
    assert!(space.kubectl(&["get", "serviceaccount"]).is_ok());
    let elsewhere = other.namespace("another").unwrap();
    let said = elsewhere
        .kubectl(&["get", "namespace", "only-here"])
        .unwrap_err()
        .to_string();
    assert!(said.contains("not found"), "{said}");
    drop(space);
    let (address, folder) = (one.address(), one.places.state.clone());
    drop(one);
    assert!(TcpStream::connect(address).is_err(), "it still listens");
    assert!(!folder.exists(), "its folder is still there");
    assert!(TcpStream::connect(other.address()).is_ok());
}
