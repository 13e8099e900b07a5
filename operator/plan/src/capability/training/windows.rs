//! When lending is asked for. That no two windows are open at once follows from hundreds of their openings; it is found
//! once, and remembered for as long as the windows stay as they are.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::{NAME, found};
use crate::decision::Finding;
use crate::foresight::{Training, Window};
use crate::names;
use crate::proposal::Proposal;
use crate::recollection::{Checked, Note};
use crate::schedule::{Occurrence, Schedule, Unusable};
use crate::world::World;

/// By which rules windows are checked: what was found by others is found anew.
const RULES: u32 = 2;

/// Whether lending is asked for now. Without windows it always is.
pub(super) fn open(
    world: &World,
    training: &Training,
    proposal: &mut Proposal,
) -> Result<(), Finding> {
    if training.windows.is_empty() {
        return Ok(());
    }
    if let Some(name) = given_twice(&training.windows) {
        return Err(found(
            "InvalidSpec",
            format!(
                "training.windows: name {name:?} is given twice; give each window a name of its own"
            ),
        ));
    }
    let mut schedules = Vec::new();
    for window in &training.windows {
        match Schedule::read(window) {
            Ok(schedule) => schedules.push((window.name.as_str(), schedule)),
            Err(unusable) => proposal.findings.push(refused(&unusable)),
        }
    }
    let checked = checked(world, training, &schedules);
    proposal.notes.push(Note::Checked(checked.clone()));
    let overlapping = |name: &str| checked.overlapping.iter().any(|it| it == name);
    let windows = training.windows.iter();
    let refusals = windows.filter(|window| overlapping(&window.name));
    proposal
        .findings
        .extend(refusals.map(|window| refused(&Unusable::overlaps(window))));
    if let Some((one, other)) = &checked.clash {
        return Err(found(
            "OverlappingWindows",
            format!(
                "training.windows: {one:?} and {other:?} overlap; shorten one of them, so that it is clear which is meant"
            ),
        ));
    }
    schedules.retain(|(name, _)| !overlapping(name));
    let mut open = false;
    for (name, schedule) in &schedules {
        let key = format!("{NAME}/{name}");
        let (now, opened) = schedule.look(world.now, world.memory.foresight.windows.get(&key));
        open |= now.is_some();
        proposal
            .notes
            .extend(opened.map(|opened| Note::Window(key, opened)));
    }
    if open {
        Ok(())
    } else {
        Err(found("WindowClosed", "no window is open"))
    }
}

fn refused(unusable: &Unusable) -> Finding {
    found("InvalidSpec", format!("training.windows: {unusable}"))
}

/// What was found of these windows before, or is now.
fn checked(world: &World, training: &Training, schedules: &[(&str, Schedule)]) -> Checked {
    let windows = names::hash(&format!("{RULES} {:?}", training.windows));
    let before = world.memory.foresight.checked.as_ref();
    if let Some(before) = before.filter(|before| before.windows == windows) {
        return before.clone();
    }
    let (overlapping, usable): (Vec<_>, Vec<_>) = schedules
        .iter()
        .map(|(name, schedule)| (*name, schedule))
        .partition(|(_, schedule)| schedule.overlaps());
    let clash = clash(&usable);
    Checked {
        windows,
        overlapping: overlapping
            .iter()
            .map(|(name, _)| (*name).to_owned())
            .collect(),
        clash: clash.map(|(one, other)| (one.to_owned(), other.to_owned())),
    }
}

/// A name that two windows have: what was opened is remembered by it.
fn given_twice(windows: &[Window]) -> Option<&str> {
    let mut seen = BTreeSet::new();
    let mut names = windows.iter().map(|window| window.name.as_str());
    names.find(|name| !seen.insert(*name))
}

/// Two windows that are open at the same time. Those of one zone are compared by its wall, on which one may begin as
/// the other ends: in a night that is an hour shorter both are open for that hour, which is one open window. Openings of
/// the rarer one are followed, always the same ones: the answer does not depend on when it is asked.
fn clash<'a>(schedules: &[(&'a str, &Schedule)]) -> Option<(&'a str, &'a str)> {
    if schedules.len() < 2 {
        return None;
    }
    let mut all: Vec<_> = schedules
        .iter()
        .map(|(name, schedule)| (*name, *schedule, schedule.looked_at()))
        .collect();
    // The rarer a window, the farther the same number of openings reaches.
    all.sort_by_key(|(_, _, openings)| Reverse(openings.last().copied()));
    let pairs = all.iter().enumerate().flat_map(|(order, rarer)| {
        let others = all.iter().skip(order + 1);
        others.map(move |other| (rarer, other))
    });
    pairs
        .into_iter()
        .find(|((_, rarer, openings), (_, other, _))| {
            let meet = |openings: &[Occurrence], other: &Schedule| {
                openings.iter().any(|opening| other.meets(opening))
            };
            if rarer.shares_the_wall_of(other) {
                meet(&rarer.on_the_wall().looked_at(), &other.on_the_wall())
            } else {
                meet(openings, other)
            }
        })
        .map(|((one, ..), (other, ..))| (*one, *other))
}
