use super::*;
use crate::recovery::samples;

use proptest::prelude::*;

proptest! {
    #[test]
    fn entities_come_back(entities in samples::batch(), origin in samples::origin()) {
        let mut bytes = Vec::new();
        put_origin(&mut bytes, origin);
        entities.iter().for_each(|entity| put_entity(&mut bytes, entity));
        let mut reader = Reader(&bytes);
        prop_assert_eq!(super::origin(&mut reader), Ok(origin));
        let mut read = Vec::new();
        while !reader.is_at_end() {
            read.push(entity(&mut reader).map_err(|Malformed(what)| TestCaseError::fail(what))?);
        }
        prop_assert_eq!(read, entities);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut reader = Reader(&bytes);
        let _ = super::origin(&mut reader);
        while !reader.is_at_end() && entity(&mut reader).is_ok() {}
    }
}

#[test]
fn a_new_file_is_small() {
    let time = Timestamp {
        sec: 1_700_000_000,
        nsec: 7,
    };
    let image = InodeImage {
        ino: Ino(1 << 60),
        generation: 7,
        kind: KindImage::Regular,
        mode: 0o600,
        uid: 0,
        gid: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        has_data: true,
        mtime_set: false,
        reserved: 0,
        pool: 0,
        unseen_ctime: None,
    };
    let mut bytes = Vec::new();
    put_entity(&mut bytes, &Entity::Inode(image));
    assert!(bytes.len() <= 32, "{} bytes", bytes.len());
}
