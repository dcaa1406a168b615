//! Numbers and strings as the saved form has them: little-endian, small numbers in few bytes.

use std::borrow::Cow;

use crate::types::Timestamp;

/// What is no saved form; the scanner says where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) type Result<T> = std::result::Result<T, Malformed>;

/// The end came too early.
const SHORT: Malformed = Malformed("it ends too early");

pub(super) fn put_number(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

pub(super) fn put_word(to: &mut Vec<u8>, word: u64) {
    to.extend_from_slice(&word.to_le_bytes());
}

pub(super) fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    put_number(to, bytes.len() as u64);
    to.extend_from_slice(bytes);
}

pub(super) fn put_time(to: &mut Vec<u8>, time: Timestamp) {
    let Timestamp { sec, nsec } = time;
    to.extend_from_slice(&sec.to_le_bytes());
    to.extend_from_slice(&nsec.to_le_bytes());
}

/// What is left of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8> {
        let (&byte, rest) = self.0.split_first().ok_or(SHORT)?;
        self.0 = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                return Err(Malformed("a number is too large"));
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed("a number does not end"))
    }

    pub(super) fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number is too large"))
    }

    pub(super) fn word(&mut self) -> Result<u64> {
        let (word, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    pub(super) fn time(&mut self) -> Result<Timestamp> {
        let sec = self.word()? as i64;
        let (nsec, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(Timestamp {
            sec,
            nsec: u32::from_le_bytes(*nsec),
        })
    }

    pub(super) fn slice(&mut self) -> Result<&'a [u8]> {
        let len = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(super) fn bytes(&mut self) -> Result<Cow<'a, [u8]>> {
        self.slice().map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for number in [
            0,
            1,
            0x7f,
            0x80,
            0x3fff,
            0x4000,
            1 << 35,
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut reader = Reader(&bytes);
            assert_eq!(reader.number(), Ok(number));
            assert!(reader.is_at_end());
        }
    }

    #[test]
    fn what_is_too_large_is_malformed() {
        let eleven = [0xff; 11];
        assert!(Reader(&eleven).number().is_err());
        let overflow = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert!(Reader(&overflow).number().is_err());
        assert!(Reader(&[5, 1, 2]).slice().is_err());
        assert!(Reader(&[0xff, 0xff, 0xff, 0xff, 0x7f]).small().is_err());
    }
}
