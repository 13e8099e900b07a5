use std::fs;

use super::*;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

const HOST: &str = "chat.example.com";

fn config(served_by: ServedBy, directory: &tempfile::TempDir) -> TlsConfig {
    TlsConfig {
        secret: "chat-tls".to_owned(),
        host: HOST.to_owned(),
        served_by,
        directory: directory.path().to_str().unwrap().to_owned(),
    }
}

/// A certificate valid in these years, and its key.
fn made(host: &str, years: (i32, i32)) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn good() -> (String, String) {
    made(HOST, (2020, 2100))
}

fn files(certificate: Option<&str>, key: Option<&str>) -> Files {
    let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
    Files {
        certificate: bytes(certificate),
        key: bytes(key),
    }
}

fn told(certificate: &Certificate) -> (String, String) {
    let state = certificate.state().unwrap();
    assert_eq!(state.usable, state.reason.is_empty());
    (state.reason, state.message)
}

#[test]
fn what_cannot_be_used_is_told_with_the_secret_the_key_and_the_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let (crt, key) = good();
    let other = good().1;
    let expired = made(HOST, (2001, 2002));
    let early = made(HOST, (2098, 2099));
    let elsewhere = made("other.example.com", (2020, 2100));
    let missing = "TLSSecretMissing";
    let invalid = "TLSSecretInvalid";
    for (certificate, private, reason, words) in [
        (None, None, missing, "there is no Secret \"chat-tls\""),
        (None, Some(&key), missing, "has no key tls.crt"),
        (Some(&crt), None, missing, "has no key tls.key"),
        (
            Some(&key),
            Some(&key),
            invalid,
            "tls.crt holds no certificate",
        ),
        (
            Some(&crt),
            Some(&crt),
            invalid,
            "tls.key holds no private key",
        ),
        (Some(&crt), Some(&other), invalid, "tls.key is not the key"),
        (Some(&expired.0), Some(&expired.1), invalid, "has expired"),
        (Some(&early.0), Some(&early.1), invalid, "not valid yet"),
        (
            Some(&elsewhere.0),
            Some(&elsewhere.1),
            invalid,
            "is not for the host chat.example.com",
        ),
    ] {
        let certificate_of = Certificate::new(config(ServedBy::Pods, &directory));
        let files = files(certificate.map(String::as_str), private.map(String::as_str));
        certificate_of.take(files, UnixTime::now());
        let (said, message) = told(&certificate_of);
        assert_eq!(said, reason, "{message}");
        assert!(message.contains(words), "{words} is not in {message}");
        assert!(message.contains("chat-tls"), "{message}");
    }
}

#[test]
fn an_old_certificate_is_served_on_when_its_successor_is_of_no_use() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(config(ServedBy::Pods, &directory));
    assert!(certificate.state().is_none() && certificate.served().is_none());
    let (crt, key) = good();
    certificate.take(files(Some(&crt), Some(&key)), UnixTime::now());
    assert_eq!(told(&certificate).0, "");
    let first = certificate.served().unwrap();
    for files in [
        files(None, None),
        files(Some(&good().0), Some(&key)),
        files(Some("nonsense"), Some(&key)),
    ] {
        certificate.take(files, UnixTime::now());
        assert!(Arc::ptr_eq(&first, &certificate.served().unwrap()));
        let (_, message) = told(&certificate);
        assert!(message.contains("goes on being served"), "{message}");
    }
    let (crt, key) = good();
    certificate.take(files(Some(&crt), Some(&key)), UnixTime::now());
    assert_eq!(told(&certificate).0, "");
    assert!(first.leaf != certificate.served().unwrap().leaf);
}

#[test]
fn a_certificate_grows_old_without_being_changed() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(config(ServedBy::Pods, &directory));
    let (crt, key) = made(HOST, (2020, 2030));
    let at =
        |year: u64| UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600));
    certificate.take(files(Some(&crt), Some(&key)), at(2029));
    assert_eq!(told(&certificate).0, "");
    certificate.take(files(Some(&crt), Some(&key)), at(2031));
    assert_eq!(told(&certificate).0, "TLSSecretInvalid");
    assert!(certificate.served().is_some());
}

#[tokio::test]
async fn before_an_ingress_only_the_certificate_is_looked_at() {
    let directory = tempfile::tempdir().unwrap();
    let certificate = Certificate::new(config(ServedBy::Ingress, &directory));
    certificate.take(certificate.read().await, UnixTime::now());
    assert_eq!(told(&certificate).0, "TLSSecretMissing");
    fs::write(directory.path().join(TLS_CERTIFICATE), good().0).unwrap();
    certificate.take(certificate.read().await, UnixTime::now());
    assert_eq!(told(&certificate).0, "");
    assert!(certificate.served().is_none());
}
