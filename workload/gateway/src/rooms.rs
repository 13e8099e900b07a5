//! Which sockets an account has at this gateway, and what waits for each of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chatbot_message::{Account, Preview};
use chatbot_queue::Offset;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::locked;

/// Something that every socket of an account is told.
#[derive(Clone, Debug)]
pub(crate) enum Push {
    /// A reply, and the cursor after it in its partition.
    Reply {
        partition: u32,
        position: Offset,
        message: Uuid,
        frame: Arc<str>,
        cursor: Arc<str>,
    },
    /// Anything else.
    Frame(Arc<str>),
}

/// All accounts with sockets.
#[derive(Default)]
pub(crate) struct Rooms {
    next: AtomicU64,
    seats: Mutex<HashMap<Account, Vec<Arc<Seat>>>>,
}

/// One socket's place.
pub(crate) struct Seat {
    id: u64,
    account: Account,
    queue: mpsc::Sender<Push>,
    previews: Mutex<HashMap<Uuid, String>>,
    /// Told when a preview has grown.
    pub(crate) grown: Notify,
    /// Cancelled when the queue was full: what follows would be missing, so the socket must be closed and resume.
    pub(crate) too_slow: CancellationToken,
}

/// A place that is given up when it is dropped.
pub(crate) struct Taken<'rooms> {
    rooms: &'rooms Rooms,
    pub(crate) seat: Arc<Seat>,
    pub(crate) pushes: mpsc::Receiver<Push>,
}

impl Rooms {
    /// Takes a place: from now on everything for `account` is queued for it, at most `queue` frames.
    pub(crate) fn enter(&self, account: Account, queue: usize) -> Taken<'_> {
        let (sender, pushes) = mpsc::channel(queue);
        let seat = Arc::new(Seat {
            id: self.next.fetch_add(1, Ordering::Relaxed),
            account: account.clone(),
            queue: sender,
            previews: Mutex::default(),
            grown: Notify::new(),
            too_slow: CancellationToken::new(),
        });
        locked(&self.seats)
            .entry(account)
            .or_default()
            .push(Arc::clone(&seat));
        Taken {
            rooms: self,
            seat,
            pushes,
        }
    }

    /// Queues `push` for every socket of `account`, except for `but`.
    pub(crate) fn push(&self, account: &Account, push: &Push, but: Option<&Seat>) {
        let seats = self.of(account);
        for seat in seats
            .iter()
            .filter(|seat| but.is_none_or(|but| but.id != seat.id))
        {
            seat.push(push.clone());
        }
    }

    /// Offers a preview to every socket of its account.
    pub(crate) fn preview(&self, preview: &Preview) {
        for seat in self.of(&preview.account) {
            locked(&seat.previews).insert(preview.message_id, preview.text.clone());
            seat.grown.notify_one();
        }
    }

    fn of(&self, account: &Account) -> Vec<Arc<Seat>> {
        locked(&self.seats)
            .get(account)
            .cloned()
            .unwrap_or_default()
    }
}

impl Seat {
    fn push(&self, push: Push) {
        if let Push::Reply { message, .. } = &push {
            locked(&self.previews).remove(message);
        }
        if self.queue.try_send(push).is_err() {
            self.too_slow.cancel();
        }
    }

    /// The latest preview of each answer that has grown.
    pub(crate) fn take_previews(&self) -> HashMap<Uuid, String> {
        std::mem::take(&mut *locked(&self.previews))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut seats = locked(&self.rooms.seats);
        if let Some(of_account) = seats.get_mut(&self.seat.account) {
            of_account.retain(|seat| seat.id != self.seat.id);
            if of_account.is_empty() {
                seats.remove(&self.seat.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(user: &str) -> Account {
        Account {
            channel: "web".to_owned(),
            user: user.to_owned(),
        }
    }

    #[test]
    fn a_place_given_up_leaves_nothing_and_takes_nobody_else_s() {
        let rooms = Rooms::default();
        let old = rooms.enter(account("a"), 4);
        let new = rooms.enter(account("a"), 4);
        drop(old);
        assert_eq!(rooms.of(&account("a")).len(), 1);
        drop(new);
        assert!(locked(&rooms.seats).is_empty());
    }

    #[test]
    fn a_full_queue_closes_its_socket_and_delays_no_other() {
        let rooms = Rooms::default();
        let slow = rooms.enter(account("a"), 1);
        let mut quick = rooms.enter(account("a"), 8);
        for _ in 0..3 {
            rooms.push(&account("a"), &Push::Frame("x".into()), None);
        }
        assert!(slow.seat.too_slow.is_cancelled());
        assert!(!quick.seat.too_slow.is_cancelled());
        assert_eq!(
            std::iter::from_fn(|| quick.pushes.try_recv().ok()).count(),
            3
        );
    }

    #[test]
    fn only_the_latest_preview_waits_and_none_after_the_reply() {
        let rooms = Rooms::default();
        let taken = rooms.enter(account("a"), 4);
        let message = Uuid::from_u128(1);
        for text in ["a", "ab"] {
            rooms.preview(&Preview {
                message_id: message,
                account: account("a"),
                text: text.to_owned(),
            });
        }
        assert_eq!(taken.seat.take_previews()[&message], "ab");
        rooms.preview(&Preview {
            message_id: message,
            account: account("a"),
            text: "abc".to_owned(),
        });
        let reply = Push::Reply {
            partition: 0,
            position: 0,
            message,
            frame: "x".into(),
            cursor: "x".into(),
        };
        rooms.push(&account("a"), &reply, None);
        assert!(taken.seat.take_previews().is_empty());
    }
}
