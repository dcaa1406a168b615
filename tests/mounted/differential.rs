pub const CASES: &[crate::table::Case] = &[];
