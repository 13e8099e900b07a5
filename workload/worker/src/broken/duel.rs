//! Two workers of which one has not noticed that the group has given its partition to the other (W8). Nothing else goes
//! wrong: both take their turns, and all must be answered.

use chatbot_queue_contract::model::{Kind, Violation};

use super::world::World;
use super::{Design, MESSAGES, Replaced, shared};

const ROUNDS: usize = 200;
/// Announcements in a row: after the second one all is as it was two before, but for positions.
const IN_A_ROW: usize = 8;

struct Duel<'a> {
    world: World<'a>,
    /// Believes that it has the partition.
    believes: [bool; 2],
    /// To whom the group gives it.
    given_to: usize,
    announced: usize,
    replies: usize,
}

pub(super) async fn run(design: Design, seed: u64) -> Option<Violation> {
    let (shared, store) = shared().await;
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut duel = Duel {
        world: World::new(design, &shared, &store),
        believes: [true, true],
        given_to: rng.usize(0..2),
        announced: 0,
        replies: 0,
    };
    duel.fight(&mut rng).await.err()
}

impl Duel<'_> {
    async fn fight(&mut self, rng: &mut fastrand::Rng) -> Result<(), Violation> {
        for _ in 0..MESSAGES {
            self.world.ask(0).await;
            self.world.ask(1).await;
        }
        for _ in 0..ROUNDS {
            let first = rng.usize(0..2);
            self.turn(first).await?;
            self.turn(1 - first).await?;
        }
        self.world.audit.end(self.world.store).await
    }

    /// A worker reads the journal to its end, and then does what is next.
    async fn turn(&mut self, worker: usize) -> Result<(), Violation> {
        if self.world.owners[worker].is_some() {
            self.world.read(worker).await;
            if self.world.owners[worker].is_some() {
                self.world.round(worker).await?;
                return Ok(());
            }
            if self.world.design.replaced != Replaced::AnnounceAtOnce {
                // A heartbeat later it has learnt whose the partition is.
                self.believes[worker] = self.given_to == worker;
                return Ok(());
            }
        }
        if self.believes[worker] {
            self.world.take_over(worker).await;
            self.announced()?;
        }
        Ok(())
    }

    fn announced(&mut self) -> Result<(), Violation> {
        let replies = self.world.audit.replies();
        if replies > self.replies {
            (self.replies, self.announced) = (replies, 0);
        }
        self.announced += 1;
        if self.announced < IN_A_ROW {
            return Ok(());
        }
        let what = format!(
            "two owners have announced themselves {IN_A_ROW} times and answered nothing meanwhile: a cycle without faults"
        );
        Err(Violation::new(Kind::Duel, what))
    }
}
