//! Numbers as the kernel reads them.
//!
//! Stricter than the kernel in two places, where a slip would turn a limit into no limit: a
//! number must have a digit (`memparse()` reads `size=k` as 0), and one that does not fit in 64
//! bits is refused (`memparse()` wraps it: `size=16e` is 0).

/// `memparse()` of lib/cmdline.c: decimal, octal or hexadecimal with one of k m g t p e, and the rest.
pub(super) fn memparse(text: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = leading(text, 0)?;
    let shift = match rest.first().map(u8::to_ascii_lowercase) {
        Some(b'k') => 10,
        Some(b'm') => 20,
        Some(b'g') => 30,
        Some(b't') => 40,
        Some(b'p') => 50,
        Some(b'e') => 60,
        _ => return Some((number, rest)),
    };
    Some((number.checked_mul(1 << shift)?, &rest[1..]))
}

/// The same where nothing may follow: `nr_inodes`, `nr_blocks`.
pub(super) fn count(text: &[u8]) -> Option<u64> {
    memparse(text).and_then(|(number, rest)| rest.is_empty().then_some(number))
}

/// `size=`: bytes or a percentage of `total_ram`, as whole pages.
pub(super) fn size(text: &[u8], total_ram: u64, page_size: u64) -> Option<u64> {
    let (number, rest) = memparse(text)?;
    match rest {
        b"" => Some(pages(number.div_ceil(page_size), page_size)),
        b"%" => {
            let bytes = u128::from(number) * u128::from(total_ram) / 100;
            let bytes = u64::try_from(bytes).ok()?;
            Some(pages(bytes.div_ceil(page_size), page_size))
        }
        _ => None,
    }
}

/// Bytes of `count` pages; more than 64 bits can say is as good as the most that they can.
pub(super) fn pages(count: u64, page_size: u64) -> u64 {
    count.min(u64::MAX / page_size) * page_size
}

/// `kstrtouint()` of lib/kstrtox.c: an optional `+`, digits of `base`, 0 taking it from the prefix.
pub(super) fn unsigned(text: &[u8], base: u32) -> Option<u32> {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let (number, rest) = leading(digits, base)?;
    if !rest.is_empty() {
        return None;
    }
    u32::try_from(number).ok()
}

/// The number at the start of `text`, by `_parse_integer_fixup_radix()`: with base 0, `0x` before
/// a hexadecimal digit is 16, another leading `0` is 8.
fn leading(text: &[u8], base: u32) -> Option<(u64, &[u8])> {
    let (base, text) = match (base, text) {
        (0, [b'0', b'x' | b'X', digit, ..]) if digit.is_ascii_hexdigit() => (16, &text[2..]),
        (0, [b'0', ..]) => (8, text),
        (0, _) => (10, text),
        (base, _) => (base, text),
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(base);
    let end = text.iter().take_while(|byte| digit(byte).is_some()).count();
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return None;
    }
    let number = digits
        .iter()
        .filter_map(digit)
        .try_fold(0u64, |number, digit| {
            number
                .checked_mul(u64::from(base))?
                .checked_add(u64::from(digit))
        })?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn memparse_takes_prefixes_and_suffixes() {
        for (text, number, rest) in [
            ("0", 0, ""),
            ("12", 12, ""),
            ("0x10m", 16 << 20, ""),
            ("0X1Fk", 31 << 10, ""),
            ("010m", 8 << 20, ""),
            ("1K", 1 << 10, ""),
            ("3g", 3 * GIB, ""),
            ("2T", 2 << 40, ""),
            ("1p", 1 << 50, ""),
            ("8E", 8 << 60, ""),
            ("08", 0, "8"),
            ("0x", 0, "x"),
            ("0xg", 0, "xg"),
            ("1kk", 1 << 10, "k"),
            ("1.5", 1, ".5"),
            ("10%", 10, "%"),
        ] {
            let expected = Some((number, rest.as_bytes()));
            assert_eq!(memparse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_number_has_a_digit_and_fits() {
        for text in [
            "",
            "k",
            "%",
            "-1",
            "+1",
            " 1",
            "16e",
            "18446744073709551616",
            "x10",
        ] {
            assert_eq!(memparse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn size_is_whole_pages_or_a_part_of_memory() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("1", Some(4096)),
            ("4096", Some(4096)),
            ("4097", Some(8192)),
            ("50%", Some(GIB / 2)),
            ("1%", Some(10_739_712)),
            ("0%", Some(0)),
            ("200%", Some(2 * GIB)),
            ("18446744073709551615", Some(u64::MAX - 4095)),
            ("1%%", None),
            ("12q", None),
            ("18446744073709551615%", None),
        ] {
            assert_eq!(size(text.as_bytes(), GIB, 4096), bytes, "{text}");
        }
    }

    #[test]
    fn unsigned_is_kstrtouint() {
        for (text, base, number) in [
            ("1777", 8, Some(0o1777)),
            ("01777", 8, Some(0o1777)),
            ("+755", 8, Some(0o755)),
            ("8", 8, None),
            ("0x1ff", 8, None),
            ("40000000000", 8, None),
            ("0x10", 0, Some(16)),
            ("010", 0, Some(8)),
            ("4294967295", 0, Some(u32::MAX)),
            ("4294967296", 0, None),
            ("", 0, None),
            ("-1", 0, None),
            ("1k", 0, None),
        ] {
            assert_eq!(unsigned(text.as_bytes(), base), number, "{text}");
        }
    }
}
