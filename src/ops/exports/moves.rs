//! What a rename may do: no object gets more by another name than it had.

use std::sync::Arc;

use super::gate::{Gate, Zone, shown};
use crate::errno::{Errno, Result};
use crate::export::{Operation, RenameMode as RuledMode, Rights};
use crate::ops::faces::Located;
use crate::ops::{Fs, RenameMode};
use crate::store::{Inode, Tree};
use crate::types::{Ino, Kind, Timestamp};

/// A directory with more below it is not moved within an export: the caller copies.
const MANY: usize = 10_000;

impl Fs {
    /// What the rules of an export say; between what has rules and what has none, or others, nothing moves: the
    /// caller copies.
    pub(in crate::ops) fn check_rules(
        &self,
        tree: &Tree,
        (from, to): (&Located<'_>, &Located<'_>),
        (source, target): (Option<&Arc<Inode>>, Option<&Arc<Inode>>),
        mode: RenameMode,
    ) -> Result<()> {
        match (&from.zone, &to.zone) {
            (Zone::Free, Zone::Free) => Ok(()),
            (Zone::Layer(a) | Zone::Scratch(a), Zone::Layer(b)) if a == b => Ok(()),
            (Zone::Layer(a) | Zone::Scratch(a), Zone::Scratch(b)) if a == b => {
                let is_dir = source.is_some_and(|inode| inode.kind.is_dir());
                if is_dir { Err(Errno::EACCES) } else { Ok(()) }
            }
            (Zone::Ruled(_), Zone::Layer(_) | Zone::Scratch(_)) => {
                from.check(Operation::RenameOut, source, false)
            }
            (Zone::Layer(_) | Zone::Scratch(_), Zone::Ruled(gate)) => {
                let source = source.ok_or(Errno::ENOENT)?;
                publish(gate, source, target, mode)
            }
            (Zone::Ruled(old), Zone::Ruled(new)) if old.is_beside(new) => {
                from.check(Operation::RenameFrom, source, false)?;
                let source = source.ok_or(Errno::ENOENT)?;
                move_within(tree, (old, source), (new, target), mode)
            }
            (Zone::Free | Zone::Layer(_) | Zone::Scratch(_) | Zone::Ruled(_), _) => {
                Err(Errno::EXDEV)
            }
        }
    }

    /// Directories that have another path now show other things.
    pub(in crate::ops) fn follow_renamed(
        &self,
        tree: &Tree,
        source: &Arc<Inode>,
        exchanged: Option<&Arc<Inode>>,
        now: Timestamp,
    ) {
        if !self.exports.is_active() {
            return;
        }
        for inode in [Some(source), exchanged].into_iter().flatten() {
            if inode.kind.is_dir() {
                self.follow_moved(tree, inode.ino, now);
            }
        }
    }
}

impl Gate<'_> {
    fn is_beside(&self, other: &Gate<'_>) -> bool {
        self.export() == other.export()
    }

    /// Whether nothing below a directory would get more under this name than it has under `old`.
    fn takes_all(&self, tree: &Tree, old: &Gate<'_>, moved: &Inode) -> Result<()> {
        if !moved.kind.is_dir() {
            return Ok(());
        }
        let mut left: Vec<(Ino, Vec<u8>)> = vec![(moved.ino, Vec::new())];
        let mut count = 0;
        while let Some((dir, below)) = left.pop() {
            for (_, entry) in tree.directory(dir)?.oldest_first() {
                count += 1;
                if count > MANY {
                    return Err(Errno::EXDEV);
                }
                let path = [below.as_slice(), b"/", &entry.name].concat();
                let kind = &tree.inode(entry.ino)?.kind;
                let (had, gets) = (old.shown_below(&path, kind), self.shown_below(&path, kind));
                let more = gets.is_some()
                    && (had.is_none()
                        || !gets
                            .unwrap_or_default()
                            .access()
                            .without(had.unwrap_or_default())
                            .is_empty());
                if more {
                    return Err(Errno::EACCES);
                }
                if kind.is_dir() {
                    left.push((entry.ino, path));
                }
            }
        }
        Ok(())
    }

    /// The rights of a path below this name; `None` where it is not shown.
    fn shown_below(&self, below: &[u8], kind: &Kind) -> Option<Rights> {
        let path = [self.path(), below].concat();
        let rules = &self.config()?.rules;
        shown(rules, &path, kind)
    }
}

/// An object of the consumer's own gets a name that others see.
fn publish(
    gate: &Gate<'_>,
    source: &Arc<Inode>,
    target: Option<&Arc<Inode>>,
    mode: RenameMode,
) -> Result<()> {
    let mode = match mode {
        RenameMode::Replace => RuledMode::Replace,
        RenameMode::NoReplace => RuledMode::NoReplace,
        // What is exported would become the consumer's own.
        RenameMode::Exchange => return Err(Errno::EXDEV),
        RenameMode::Whiteout(true) => RuledMode::NoReplace,
        RenameMode::Whiteout(false) => RuledMode::Replace,
    };
    let from = Rights::ALL;
    let there = target.map(|inode| &inode.kind);
    gate.check(
        Operation::RenameTo { from, mode },
        there,
        source.kind.is_dir(),
    )
}

/// An exported object gets another exported name.
fn move_within(
    tree: &Tree,
    (old, source): (&Gate<'_>, &Arc<Inode>),
    (new, target): (&Gate<'_>, Option<&Arc<Inode>>),
    mode: RenameMode,
) -> Result<()> {
    let is_dir = source.kind.is_dir();
    let from = old.rights(is_dir);
    let there = target.map(|inode| &inode.kind);
    let to = |mode| gate_to(new, from, mode, there, is_dir);
    match mode {
        RenameMode::Replace => to(RuledMode::Replace)?,
        RenameMode::NoReplace => to(RuledMode::NoReplace)?,
        // It leaves a device behind.
        RenameMode::Whiteout(_) => return Err(Errno::EPERM),
        RenameMode::Exchange => {
            to(RuledMode::Exchange)?;
            let target = target.ok_or(Errno::ENOENT)?;
            let back = new.rights(target.kind.is_dir());
            gate_to(old, back, RuledMode::Exchange, Some(&source.kind), false)?;
            old.takes_all(tree, new, target)?;
        }
    }
    new.takes_all(tree, old, source)
}

fn gate_to(
    gate: &Gate<'_>,
    from: Rights,
    mode: RuledMode,
    there: Option<&Kind>,
    makes_dir: bool,
) -> Result<()> {
    gate.check(Operation::RenameTo { from, mode }, there, makes_dir)
}
