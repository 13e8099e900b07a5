//! Ids and partitions never change their meaning: they are written into logs and given to platforms.

use chatbot_message::{Account, Message, message_id};

fn account(channel: &str, user: &str) -> Account {
    Account {
        channel: channel.to_owned(),
        user: user.to_owned(),
    }
}

#[test]
fn the_same_event_has_the_same_id_and_another_channel_s_has_another() {
    assert_eq!(
        message_id("web", "event-1").to_string(),
        "da52abd5-b818-5281-8fa8-91f30f52dee4"
    );
    assert_ne!(message_id("web", "event-1"), message_id("web", "event-2"));
    assert_ne!(
        message_id("web", "event-1"),
        message_id("telegram", "event-1")
    );
}

#[test]
fn an_account_stays_in_its_partition() {
    let known = [
        ("web", "alice", 16),
        ("web", "bob", 6),
        ("telegram", "alice", 2),
        ("", "", 20),
    ];
    for (channel, user, partition) in known {
        assert_eq!(
            account(channel, user).partition(24),
            partition,
            "{channel}/{user}"
        );
    }
    assert_eq!(account("web", "alice").partition(1), 0);
    assert_eq!(account("web", "alice").partition(0), 0);
}

#[test]
fn channel_and_user_do_not_run_into_each_other() {
    let partitions = u32::MAX;
    assert_ne!(
        account("ab", "c").partition(partitions),
        account("a", "bc").partition(partitions)
    );
}

#[test]
fn accounts_spread_evenly_over_the_partitions() {
    let mut counts = [0_u32; 24];
    for user in 0..24_000 {
        counts[account("web", &user.to_string()).partition(24) as usize] += 1;
    }
    assert!(
        counts.iter().all(|count| (850..1_150).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn a_message_of_an_earlier_release_is_still_read() {
    let json = r#"{"id":"00000000-0000-0000-0000-000000000000","account":{"channel":"web","user":"u"},
        "origin":"o","text":"t","sent_at":null}"#;
    let message: Message = serde_json::from_str(json).unwrap();
    assert!(!message.synthetic);
    assert!(message.details.is_empty());
    assert!(!serde_json::to_string(&message).unwrap().contains("details"));
}
