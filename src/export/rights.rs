//! The four rights: posix-mq's words. None implies another.

use std::fmt;
use std::ops::BitOr;

/// A set of rights on one name.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Rights(u8);

impl Rights {
    /// No right: the name is hidden.
    pub const NONE: Rights = Rights(0);
    /// Open for reading, map, read xattrs, shared locks; list a directory.
    pub const READ: Rights = Rights(1);
    /// Open for writing, change size, times, mode, owner and `user.*` xattrs; exclusive locks.
    pub const WRITE: Rights = Rights(2);
    /// Bring the name into being.
    pub const CREATE: Rights = Rights(4);
    /// Remove the name, rename it away, replace it.
    pub const DELETE: Rights = Rights(8);
    /// All four: snapd's `write`.
    pub const ALL: Rights = Rights(15);

    /// The single rights in the order in which they are written.
    pub const EACH: [Rights; 4] = [Rights::READ, Rights::WRITE, Rights::CREATE, Rights::DELETE];

    /// The right that a word of the configuration names.
    pub fn of_word(word: &str) -> Option<Rights> {
        Rights::EACH.into_iter().find(|right| right.word() == word)
    }

    /// The word of a single right; of a set, that of its first.
    pub fn word(self) -> &'static str {
        match self.0 & self.0.wrapping_neg() {
            1 => "read",
            2 => "write",
            4 => "create",
            8 => "delete",
            _ => "none",
        }
    }

    /// All sixteen sets.
    pub fn every() -> impl Iterator<Item = Rights> {
        (0..=Rights::ALL.0).map(Rights)
    }

    /// Whether all of `other` is in it.
    pub const fn contains(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some of `other` is in it.
    pub const fn intersects(self, other: Rights) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in either.
    pub const fn union(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    /// What is in both.
    pub const fn intersection(self, other: Rights) -> Rights {
        Rights(self.0 & other.0)
    }

    /// What is in it and not in `other`.
    pub const fn without(self, other: Rights) -> Rights {
        Rights(self.0 & !other.0)
    }

    /// Whether it is no right at all.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether an object with these rights can be looked up and listed: `create` alone shows nothing.
    pub const fn shows(self) -> bool {
        self.intersects(Rights(1 | 2 | 8))
    }

    /// Read and write, which an object's name decides and no link or rename may widen.
    pub const fn access(self) -> Rights {
        Rights(self.0 & 3)
    }

    /// The bits, for a place that keeps them in a number.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The set from its bits; others than the four are dropped.
    pub const fn from_bits(bits: u8) -> Rights {
        Rights(bits & 15)
    }
}

impl BitOr for Rights {
    type Output = Rights;

    fn bitor(self, other: Rights) -> Rights {
        self.union(other)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let words = Rights::EACH
            .into_iter()
            .filter(|right| self.contains(*right));
        for (at, right) in words.enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", right.word())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_configuration() {
        assert_eq!(Rights::ALL.to_string(), "read,write,create,delete");
        assert_eq!((Rights::READ | Rights::DELETE).to_string(), "read,delete");
        assert_eq!(Rights::NONE.to_string(), "none");
        assert_eq!(Rights::of_word("create"), Some(Rights::CREATE));
        assert_eq!(Rights::of_word("open"), None);
        assert_eq!(Rights::every().count(), 16);
    }

    #[test]
    fn create_alone_shows_nothing() {
        let shown = Rights::every().filter(|rights| rights.shows()).count();
        assert_eq!(shown, 14, "all but the empty set and create alone");
        assert!(!Rights::CREATE.shows());
    }
}
