//! Golden worlds of the way in from outside.

use chatbot_crds::config::TlsState;

use super::{edited, planned};
use crate::proposal::Component;
use crate::world::{Signal, World};

fn exposed(exposure: &str) -> World {
    edited(|yaml| format!("{yaml}\n  exposure: {exposure}\n"))
}

#[test]
fn tls_without_an_ingress_is_served_by_the_pods() {
    let world = exposed("{ host: chat.example.com, tls: { secretRef: { name: chat-tls } } }");
    insta::assert_yaml_snapshot!(planned(&world));
}

#[test]
fn a_certificate_that_is_not_there_is_told_and_nothing_is_undone() {
    let world = exposed("{ host: chat.example.com, tls: { secretRef: { name: chat-tls } } }");
    let mut world = world.passed().rolled_out(2);
    for pod in &mut world.observed.pods {
        if let (Component::Adapters, Signal::Known { value, .. }) = (pod.component, &mut pod.state)
        {
            pod.ready = false;
            value.tls = Some(TlsState {
                usable: false,
                reason: "TLSSecretMissing".to_owned(),
                message: "there is no Secret \"chat-tls\"".to_owned(),
            });
        }
    }
    insta::assert_yaml_snapshot!(planned(&world));
}

#[test]
fn an_ingress_takes_the_certificate_and_the_pods_only_look_at_it() {
    let world = exposed(
        "{ host: chat.example.com, tls: { secretRef: { name: chat-tls } }, ingress: { className: public } }",
    );
    insta::assert_yaml_snapshot!(planned(&world));
}

#[test]
fn a_route_without_a_gateway_api_is_told_and_the_rest_goes_on() {
    let mut world =
        exposed("{ host: chat.example.com, httpRoute: { parentRefs: [{ name: public }] } }")
            .passed()
            .rolled_out(2);
    world.observed.absent_kinds.insert("HTTPRoute");
    insta::assert_yaml_snapshot!(planned(&world));
}
