//! A broker that lets nobody in whom it does not know.

use std::fs;

use chatbot_e2e::command::wait_until;
use chatbot_e2e::kafka::{Broker, Security};
use chatbot_e2e::redis::Server;

use crate::certificates::Certificates;
use crate::service::{PATIENCE, Service};

#[test]
#[ignore = "needs a broker: cargo e2e test"]
fn a_secret_that_is_gone_or_wrong_ends_nobody_and_one_that_works_is_taken() {
    let certificates = Certificates::new();
    let security = Security {
        certificate: certificates.server,
        key: certificates.server_key,
        client_ca: certificates.ca,
        users: vec![("owner".to_owned(), "secret".to_owned())],
    };
    let broker = Broker::start_with(Some(&security)).unwrap();
    let (store, folder) = (Server::start().unwrap(), tempfile::tempdir().unwrap());
    let password = folder.path().join("password");
    fs::write(folder.path().join("username"), "owner").unwrap();
    fs::write(&password, "secret").unwrap();
    let service = Service::new(
        &broker.sasl_address(),
        &store.address(),
        "http://127.0.0.1:9",
    )
    .signing_in(folder.path());
    let mut gateway = service.gateway();
    gateway.wait_ready();
    let goes_on = |reason: &str| {
        wait_until(reason, PATIENCE, || {
            gateway.get("readyz")?;
            Ok(gateway.told()?["broker"]["reason"] == reason)
        })
        .unwrap();
    };
    fs::remove_file(&password).unwrap();
    goes_on("SecretMissing");
    fs::write(&password, "wrong").unwrap();
    goes_on("CredentialsRejected");
    fs::write(&password, "secret").unwrap();
    goes_on("BrokerReady");
    // Another content that works: the next process is to sign in with it.
    fs::write(&password, "secret\n").unwrap();
    wait_until("the process' end", PATIENCE, || Ok(gateway.has_ended())).unwrap();
}
