//! What a request has done to the count of an inode's handles, in one word.

/// By how much it has changed the count, and what the count is about to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deed {
    /// Handles opened less handles closed.
    pub(super) net: i8,
    /// Of that, what was done by a process that died, and not asked for since.
    pub(super) credit: i8,
    /// The count to be stored; `net` has it in already.
    pub(super) pending: Option<u32>,
}

const PENDING: u64 = 1 << 63;
const NET: u32 = 48;
const CREDIT: u32 = 40;

impl Deed {
    /// Done and asked for.
    pub(super) fn done(net: i8) -> Deed {
        Deed {
            net,
            ..Deed::default()
        }
    }

    /// The same when the request comes again.
    pub(super) fn as_credit(self) -> Deed {
        Deed {
            credit: self.net,
            ..self
        }
    }

    pub(super) fn word(self) -> u64 {
        let byte = |number: i8| u64::from(number as u8);
        let pending = self.pending.map_or(0, |nopen| PENDING | u64::from(nopen));
        pending | byte(self.net) << NET | byte(self.credit) << CREDIT
    }

    pub(super) fn of_word(word: u64) -> Deed {
        let byte = |at: u32| (word >> at) as u8 as i8;
        Deed {
            net: byte(NET),
            credit: byte(CREDIT),
            pending: (word & PENDING != 0).then_some(word as u32),
        }
    }
}
