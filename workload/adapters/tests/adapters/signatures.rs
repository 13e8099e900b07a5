//! What is authentic, and that one bit less is not.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chatbot_adapters::{Admission, Delivery, Fault, Head, ProtocolAdapter, Refusal, Transport};
use http::{HeaderMap, HeaderValue, Method};
use ring::signature::{Ed25519KeyPair, KeyPair};

use crate::samples::{NOW, adapter, headers};

/// One authentic delivery, and the adapter that knows so.
struct Authentic {
    platform: &'static str,
    secrets: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Vec<u8>,
    at: i64,
}

impl Authentic {
    fn adapter(&self) -> std::sync::Arc<dyn ProtocolAdapter> {
        let secrets: Vec<_> = self
            .secrets
            .iter()
            .map(|(key, value)| (*key, value.as_str()))
            .collect();
        adapter(self.platform, &secrets)
    }

    fn verify(&self) -> Result<(), Refusal> {
        let via = if self.platform == "openAI" {
            Transport::Exchange
        } else {
            Transport::Webhook
        };
        self.adapter().verify(&Delivery {
            via,
            received_at: self.at,
            ..Delivery::of("garden", &self.headers, &self.body)
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Key, nonce and so on are made up; the vectors of the platforms' own documents are in `vectors`.
fn authentic() -> Vec<Authentic> {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let body = br#"{"type":1,"id":"1"}"#.to_vec();
    let signed = [b"1760000000".as_slice(), &body].concat();
    let discord = Authentic {
        platform: "discord",
        secrets: vec![("interactionsPublicKey", hex(pair.public_key().as_ref()))],
        headers: headers(&[
            ("x-signature-ed25519", &hex(pair.sign(&signed).as_ref())),
            ("x-signature-timestamp", "1760000000"),
        ]),
        body,
        at: NOW,
    };
    let telegram = Authentic {
        platform: "telegram",
        secrets: vec![("webhookSecret", "a-secret_1".to_owned())],
        headers: headers(&[("x-telegram-bot-api-secret-token", "a-secret_1")]),
        body: b"{}".to_vec(),
        at: NOW,
    };
    let open_ai = Authentic {
        platform: "openAI",
        secrets: vec![("shop", "sk-one".to_owned()), ("desk", "sk-two".to_owned())],
        headers: headers(&[("authorization", "Bearer sk-two")]),
        body: b"{}".to_vec(),
        at: NOW,
    };
    let mut all = vectors();
    all.extend([discord, telegram, open_ai]);
    all
}

/// Vectors that others have published: Slack's documentation, a request that Meta has signed, the Standard Webhooks
/// specification's own test, and an event in the form of Feishu's.
fn vectors() -> Vec<Authentic> {
    let slack = Authentic {
        platform: "slack",
        secrets: vec![("signingSecret", "8f742231b10e8888abcd99yyyzzz85a5".to_owned())],
        headers: headers(&[
            (
                "x-slack-signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
            ("x-slack-request-timestamp", "1531420618"),
        ]),
        body: b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&\
user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F\
commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.\
803a0bc887a14d10d2c447fce8b6703c"
            .to_vec(),
        at: 1_531_420_618_000,
    };
    let whats_app = Authentic {
        platform: "whatsApp",
        secrets: vec![("appSecret", "1222e786b144d0e85b9f365372d93676".to_owned())],
        headers: headers(&[(
            "x-hub-signature-256",
            "sha256=54edfa1d7259e0eb13c677cc7d73d1b5c86cfa12433d19156e058ab9251bc441",
        )]),
        body: br#"{"object":"whatsapp_business_account","entry":[{"id":"264937493375603","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550953877","phone_number_id":"277321005464405"},"contacts":[{"profile":{"name":"PyWa Tests"},"wa_id":"972544401243"}],"messages":[{"from":"972544401243","id":"wamid.HBgMOTcyNTQ0NDAxMjQzFQIAEhggM0RFQTNCMEEwRTY3QzUwODYzMDc4NjQ4QzM4ODAxM0YA","timestamp":"1730231903","text":{"body":"Hey there! I am using PyWa."},"type":"text"}]},"field":"messages"}]}]}"#
            .to_vec(),
        at: NOW,
    };
    let webhook = Authentic {
        platform: "webhook",
        secrets: vec![(
            "signingKey",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        )],
        headers: headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            (
                "webhook-signature",
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
        ]),
        body: br#"{"test": 2432232314}"#.to_vec(),
        at: 1_614_265_330_000,
    };
    vec![slack, whats_app, webhook, feishu()]
}

fn feishu() -> Authentic {
    use aes::cipher::block_padding::Pkcs7;
    use aes::cipher::{BlockEncryptMut, KeyIvInit};
    let (key, token) = ("an encrypt key", "a-token");
    let plain = format!(
        r#"{{"schema":"2.0","header":{{"event_id":"e","event_type":"x","token":"{token}"}},"event":{{}}}}"#
    );
    let hash = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    let iv = [9_u8; 16];
    let cipher = cbc::Encryptor::<aes::Aes256>::new_from_slices(hash.as_ref(), &iv).unwrap();
    let encrypted = [
        iv.as_slice(),
        &cipher.encrypt_padded_vec_mut::<Pkcs7>(plain.as_bytes()),
    ]
    .concat();
    let body = format!(r#"{{"encrypt":"{}"}}"#, STANDARD.encode(encrypted));
    let signed = format!("1760000000nonce{key}{body}");
    let signature = hex(ring::digest::digest(&ring::digest::SHA256, signed.as_bytes()).as_ref());
    Authentic {
        platform: "feishu",
        secrets: vec![
            ("encryptKey", key.to_owned()),
            ("verificationToken", token.to_owned()),
        ],
        headers: headers(&[
            ("x-lark-signature", &signature),
            ("x-lark-request-timestamp", "1760000000"),
            ("x-lark-request-nonce", "nonce"),
        ]),
        body: body.into_bytes(),
        at: NOW,
    }
}

#[test]
fn what_is_authentic_is_taken() {
    for one in authentic() {
        assert_eq!(one.verify(), Ok(()), "{}", one.platform);
    }
}

#[test]
fn one_bit_of_the_body_changed_is_refused() {
    // The other two are tokens: their bodies are not signed.
    for mut one in authentic()
        .into_iter()
        .filter(|one| !matches!(one.platform, "telegram" | "openAI"))
    {
        for bit in 0..one.body.len() * 8 {
            one.body[bit / 8] ^= 1 << (bit % 8);
            assert!(one.verify().is_err(), "{}: bit {bit}", one.platform);
            one.body[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn one_bit_of_a_header_changed_is_refused() {
    for mut one in authentic() {
        let names: Vec<_> = one.headers.keys().cloned().collect();
        for name in names {
            let value = one.headers[&name].as_bytes().to_vec();
            for bit in 0..value.len() * 8 {
                let mut changed = value.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                let Ok(header) = HeaderValue::from_bytes(&changed) else {
                    continue;
                };
                // Schemes and hexadecimal digits are of either case.
                if changed.eq_ignore_ascii_case(&value)
                    && (matches!(one.platform, "discord" | "slack" | "whatsApp" | "feishu")
                        || changed[7..] == value[7..])
                {
                    continue;
                }
                one.headers.insert(&name, header);
                assert!(
                    one.verify().is_err(),
                    "{}: {name}, bit {bit}: {changed:?}",
                    one.platform
                );
            }
            one.headers
                .insert(&name, HeaderValue::from_bytes(&value).unwrap());
        }
        assert_eq!(one.verify(), Ok(()));
    }
}

#[test]
fn a_secret_that_is_missing_or_another_takes_nothing() {
    for mut one in authentic() {
        let secrets = one.secrets.clone();
        for index in 0..secrets.len() {
            if one.platform == "openAI" {
                one.secrets = vec![("shop", "sk-one".to_owned())];
            } else {
                one.secrets.remove(index);
            }
            assert_eq!(
                one.verify().unwrap_err().fault,
                Fault::Unauthenticated,
                "{}",
                one.platform
            );
            one.secrets.clone_from(&secrets);
            one.secrets[index].1 = String::new();
            if one.platform != "openAI" {
                assert!(one.verify().is_err(), "{}", one.platform);
            }
            one.secrets.clone_from(&secrets);
        }
    }
}

#[test]
fn a_header_that_is_there_twice_is_no_header() {
    for mut one in authentic() {
        let (name, value) = one
            .headers
            .iter()
            .next()
            .map(|(name, value)| (name.clone(), value.clone()))
            .unwrap();
        one.headers.append(name, value);
        assert!(one.verify().is_err(), "{}", one.platform);
    }
}

#[test]
fn a_request_of_another_time_is_a_replay() {
    for mut one in authentic()
        .into_iter()
        .filter(|one| matches!(one.platform, "slack" | "webhook"))
    {
        let at = one.at;
        for (off, holds) in [(299, true), (-299, true), (301, false), (-301, false)] {
            one.at = at + off * 1_000;
            assert_eq!(one.verify().is_ok(), holds, "{}: {off} s", one.platform);
        }
    }
}

#[test]
fn a_head_is_refused_before_its_body_is_read() {
    for one in authentic() {
        let path = if one.platform == "openAI" {
            "/v1/chat/completions"
        } else {
            ""
        };
        let check = |method: &Method, headers: &HeaderMap| {
            one.adapter().check_headers(&Head {
                method,
                path,
                query: "",
                headers,
                received_at: one.at,
            })
        };
        assert!(
            matches!(
                check(&Method::POST, &one.headers),
                Ok(Admission::Read { .. })
            ),
            "{}",
            one.platform
        );
        assert_eq!(
            check(&Method::PUT, &one.headers).unwrap_err().fault,
            Fault::Method
        );
        let bare = check(&Method::POST, &HeaderMap::new());
        if one.platform == "feishu" {
            // A challenge has no signature, and is small.
            assert_eq!(bare, Ok(Admission::Read { most: 4_096 }));
        } else {
            assert!(bare.is_err(), "{}", one.platform);
        }
    }
}

#[test]
fn whats_app_s_address_is_confirmed_to_who_knows_the_token() {
    let adapter = adapter("whatsApp", &[("verifyToken", "a token & more")]);
    let get = |query: &str| {
        adapter.check_headers(&Head {
            method: &Method::GET,
            path: "",
            query,
            headers: &HeaderMap::new(),
            received_at: NOW,
        })
    };
    let right = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=a%20token%20%26+more";
    let Ok(Admission::Answer(answer)) = get(right) else {
        panic!("it is not answered");
    };
    assert_eq!(answer.body, b"1158201444");
    // In another order, as some proxies leave it.
    assert!(get("hub.verify_token=a+token+%26+more&hub.challenge=1&hub.mode=subscribe").is_ok());
    for wrong in [
        "",
        "hub.mode=subscribe&hub.challenge=1",
        &right.replace("more", "less"),
        &right.replace("subscribe", "x"),
    ] {
        assert_eq!(
            get(wrong).unwrap_err().fault,
            Fault::Unauthenticated,
            "{wrong}"
        );
    }
}

#[test]
fn feishu_s_challenge_needs_no_signature_but_key_and_token() {
    let mut event = feishu();
    event.headers.clear();
    let refusal = event.verify().unwrap_err();
    assert!(refusal.message.contains("X-Lark-Signature"), "{refusal}");
    let plain = Authentic {
        body: br#"{"type":"url_verification","token":"a-token","challenge":"c"}"#.to_vec(),
        ..event
    };
    assert!(
        plain
            .verify()
            .unwrap_err()
            .message
            .contains("not encrypted")
    );
}
