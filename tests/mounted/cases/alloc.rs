//! fallocate(2) and SEEK_DATA / SEEK_HOLE.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{dies_of, shared};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["fallocate";
    nobody: plain, keep_size, keep_size_then_grow, inside_keeps_data, punch, punch_partial_pages, punch_past_end, punch_without_keep_size, punch_whole_file, punch_under_mapping,
        other_modes, bad_ranges, of_directory, of_fifo, of_readonly, posix, seek_data_and_hole, seek_in_empty, seek_past_end, seek_hole_at_end,
        seek_after_punch, seek_sees_allocated, seek_sees_mapped, seek_sees_loaded, seek_bad, seek_of_directory, many_extents, advice, readahead_call, collapse_changes_nothing,
        madvise_remove, mapped_beyond_allocation;
];

const KEEP: i32 = FALLOC_FL_KEEP_SIZE;
const PUNCH: i32 = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

fn size_and_blocks(fd: &impl AsRawFd) -> (i64, i64) {
    let st = fstat(fd).unwrap();
    (st.size, st.blocks)
}

fn plain(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fallocate(&fd, 0, 0, 10_000).unwrap();
    assert_eq!(size_and_blocks(&fd), (10_000, 24));
    assert_eq!(slurp(c.p("f")), [0; 10_000]);
    fallocate(&fd, 0, 20_480, 4096).unwrap();
    assert_eq!(size_and_blocks(&fd), (24_576, 32));
    fallocate(&fd, 0, 0, 24_576).unwrap();
    assert_eq!(size_and_blocks(&fd), (24_576, 48));
}

fn keep_size(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    fallocate(&fd, KEEP, 0, 100_000).unwrap();
    assert_eq!(size_and_blocks(&fd), (4, 25 * 8));
    assert_eq!(slurp(c.p("f")), b"data");
}

fn keep_size_then_grow(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fallocate(&fd, KEEP, 0, 40_960).unwrap();
    assert_eq!(size_and_blocks(&fd), (0, 80));
    ftruncate(&fd, 8192).unwrap();
    assert_eq!(size_and_blocks(&fd), (8192, 80));
    ftruncate(&fd, 4096).unwrap();
    // Shrinking drops what lies past the new end.
    assert_eq!(size_and_blocks(&fd), (4096, 8));
}

fn inside_keeps_data(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 5000]);
    fallocate(&fd, 0, 100, 200).unwrap();
    assert_eq!((size_and_blocks(&fd), slurp(c.p("f"))), ((5000, 16), vec![7; 5000]));
}

fn punch(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 20_480]);
    fallocate(&fd, PUNCH, 4096, 8192).unwrap();
    assert_eq!(size_and_blocks(&fd), (20_480, 24));
    let data = slurp(c.p("f"));
    assert!(data[..4096].iter().chain(&data[12_288..]).all(|&b| b == 7));
    assert!(data[4096..12_288].iter().all(|&b| b == 0));
}

fn punch_partial_pages(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 12_288]);
    fallocate(&fd, PUNCH, 100, 8192).unwrap();
    assert_eq!(size_and_blocks(&fd), (12_288, 16));
    let data = slurp(c.p("f"));
    assert!(data[100..8292].iter().all(|&b| b == 0));
    assert!(data[..100].iter().chain(&data[8292..]).all(|&b| b == 7));
    fallocate(&fd, PUNCH, 10, 5).unwrap();
    assert_eq!(pread(&fd, 17, 0).unwrap(), b"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07\0\0\0\0\0\x07\x07");
}

fn punch_past_end(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 5000]);
    fallocate(&fd, PUNCH, 4096, 1 << 30).unwrap();
    assert_eq!(size_and_blocks(&fd), (5000, 8));
    fallocate(&fd, PUNCH, 1 << 30, 4096).unwrap();
    assert_eq!(size_and_blocks(&fd), (5000, 8));
}

fn punch_without_keep_size(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 5000]);
    fails(fallocate(&fd, FALLOC_FL_PUNCH_HOLE, 0, 4096), EOPNOTSUPP);
    assert_eq!(slurp(c.p("f")), [7; 5000]);
}

fn punch_whole_file(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 50_000]);
    fallocate(&fd, PUNCH, 0, 50_000).unwrap();
    // The last page is partial: it is cleared, and kept.
    assert_eq!(size_and_blocks(&fd), (50_000, 8));
    assert_eq!(slurp(c.p("f")), vec![0; 50_000]);
    fallocate(&fd, PUNCH, 0, 53_248).unwrap();
    assert_eq!(size_and_blocks(&fd), (50_000, 0));
}

fn punch_under_mapping(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    let map = shared(&fd, 8192);
    assert_eq!((map.get(0), map.get(5000)), (7, 7));
    fallocate(&fd, PUNCH, 0, 4096).unwrap();
    assert_eq!((map.get(0), map.get(5000)), (0, 7));
    map.set(0, 9);
    assert_eq!(pread(&fd, 2, 0), Ok(vec![9, 0]));
}

fn other_modes(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    for mode in [FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | KEEP, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE] {
        fails(fallocate(&fd, mode, 0, 4096), EOPNOTSUPP);
    }
    fails(fallocate(&fd, 0x1000, 0, 4096), EOPNOTSUPP);
    fails(fallocate(&fd, PUNCH | FALLOC_FL_ZERO_RANGE, 0, 4096), EOPNOTSUPP);
    assert_eq!(slurp(c.p("f")), [7; 8192]);
}

fn collapse_changes_nothing(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    fails(fallocate(&fd, FALLOC_FL_COLLAPSE_RANGE | KEEP, 0, 4096), EOPNOTSUPP);
    fails(fallocate(&fd, FALLOC_FL_INSERT_RANGE | KEEP, 0, 4096), EOPNOTSUPP);
    assert_eq!(size_and_blocks(&fd), (8192, 16));
}

fn bad_ranges(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    for (at, len) in [(0, 0), (-1, 10), (0, -1), (10, 0)] {
        fails(fallocate(&fd, 0, at, len), EINVAL);
        fails(fallocate(&fd, PUNCH, at, len), EINVAL);
    }
    fails(fallocate(&fd, 0, i64::MAX, 1), EFBIG);
    fails(fallocate(&fd, 0, 1, i64::MAX), EFBIG);
    // More than the file system holds: nothing is taken.
    fails(fallocate(&fd, 0, 0, 1 << 50), ENOSPC);
    assert_eq!(size_and_blocks(&fd), (0, 0));
}

fn of_directory(c: &Ctx<'_>) {
    let dir = open(&c.dir, O_RDONLY).unwrap();
    fails(fallocate(&dir, 0, 0, 4096), EBADF);
}

fn of_fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    let fd = open(c.p("n"), O_RDWR | O_NONBLOCK).unwrap();
    fails(fallocate(&fd, 0, 0, 4096), ESPIPE);
    fails(lseek(&fd, 0, SEEK_SET), ESPIPE);
}

fn of_readonly(c: &Ctx<'_>) {
    touch(c.p("f"));
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    fails(fallocate(&fd, 0, 0, 4096), EBADF);
    fails(fallocate(&fd, PUNCH, 0, 4096), EBADF);
}

fn posix(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"ab");
    // SAFETY: no pointers.
    let got = unsafe { libc::posix_fallocate(fd.as_raw_fd(), 1, 8191) };
    assert_eq!((got, size_and_blocks(&fd)), (0, (8192, 16)));
}

fn seek_data_and_hole(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 100_000).unwrap();
    pwrite(&fd, &[1; 4096], 8192).unwrap();
    pwrite(&fd, b"x", 40_960).unwrap();
    let data = |at| lseek(&fd, at, SEEK_DATA);
    let hole = |at| lseek(&fd, at, SEEK_HOLE);
    assert_eq!((data(0), data(8192), data(10_000), data(12_288)), (Ok(8192), Ok(8192), Ok(10_000), Ok(40_960)));
    assert_eq!((hole(0), hole(8192), hole(12_000), hole(40_960)), (Ok(0), Ok(12_288), Ok(12_288), Ok(45_056)));
    fails(data(45_056), ENXIO);
    assert_eq!(hole(99_999), Ok(99_999));
    assert_eq!(lseek(&fd, 0, SEEK_CUR), Ok(99_999));
}

fn seek_in_empty(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fails(lseek(&fd, 0, SEEK_DATA), ENXIO);
    fails(lseek(&fd, 0, SEEK_HOLE), ENXIO);
}

fn seek_past_end(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    for whence in [SEEK_DATA, SEEK_HOLE] {
        fails(lseek(&fd, 4, whence), ENXIO);
        fails(lseek(&fd, 100, whence), ENXIO);
        fails(lseek(&fd, -1, whence), ENXIO);
    }
}

fn seek_hole_at_end(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 8192]);
    assert_eq!((lseek(&fd, 0, SEEK_HOLE), lseek(&fd, 8191, SEEK_HOLE)), (Ok(8192), Ok(8192)));
    let fd = put(c.p("g"), &[1; 5000]);
    assert_eq!((lseek(&fd, 0, SEEK_HOLE), lseek(&fd, 4999, SEEK_DATA)), (Ok(5000), Ok(4999)));
}

fn seek_after_punch(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 16_384]);
    fallocate(&fd, PUNCH, 4096, 4096).unwrap();
    assert_eq!((lseek(&fd, 0, SEEK_HOLE), lseek(&fd, 4096, SEEK_DATA)), (Ok(4096), Ok(8192)));
}

fn seek_sees_allocated(c: &Ctx<'_>) {
    // Pages that fallocate took and nobody wrote are not up to date: a hole.
    let fd = put(c.p("f"), b"");
    fallocate(&fd, 0, 0, 8192).unwrap();
    assert_eq!(lseek(&fd, 0, SEEK_HOLE), Ok(0));
    fails(lseek(&fd, 0, SEEK_DATA), ENXIO);
    pwrite(&fd, b"x", 4096).unwrap();
    assert_eq!(lseek(&fd, 0, SEEK_DATA), Ok(4096));
}

fn seek_sees_mapped(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 16_384).unwrap();
    let map = shared(&fd, 16_384);
    map.set(8192, 1);
    if c.differs() {
        assert_eq!(size_and_blocks(&fd), (16_384, 0));
    }
    assert_eq!((lseek(&fd, 0, SEEK_DATA), lseek(&fd, 8192, SEEK_HOLE)), (Ok(8192), Ok(12_288)));
    assert_eq!(size_and_blocks(&fd), (16_384, 8));
    // Each time anew, whoever asks, and what is asked for is all that there is.
    let reader = open(c.p("f"), O_RDONLY).unwrap();
    map.set(0, 2);
    map.set(12_289, 3);
    assert_eq!((lseek(&reader, 0, SEEK_HOLE), lseek(&reader, 4096, SEEK_DATA)), (Ok(4096), Ok(8192)));
    assert_eq!((lseek(&reader, 12_288, SEEK_DATA), lseek(&reader, 8192, SEEK_HOLE)), (Ok(12_288), Ok(16_384)));
    assert_eq!((map.get(0), map.get(8192), map.get(12_289)), (2, 1, 3));
}

fn seek_sees_loaded(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 16_384).unwrap();
    let map = shared(&fd, 16_384);
    assert_eq!(map.get(8192), 0);
    let want = if c.differs() { Err(ENXIO) } else { Ok(8192) };
    assert_eq!(lseek(&fd, 0, SEEK_DATA), want);
    // What is cut off is a hole again, whatever a mapping had there.
    map.set(8192, 1);
    assert_eq!(lseek(&fd, 0, SEEK_DATA), Ok(8192));
    ftruncate(&fd, 4096).unwrap();
    ftruncate(&fd, 16_384).unwrap();
    fails(lseek(&fd, 0, SEEK_DATA), ENXIO);
    assert_eq!(pread(&fd, 1, 8192), Ok(vec![0]));
}

fn seek_bad(c: &Ctx<'_>) {
    let fd = open(&c.dir, O_PATH).unwrap();
    fails(lseek(&fd, 0, SEEK_SET), EBADF);
}

fn seek_of_directory(c: &Ctx<'_>) {
    let dir = open(&c.dir, O_RDONLY).unwrap();
    let want = if c.differs() { Ok(0) } else { Err(EINVAL) };
    assert_eq!(lseek(&dir, 0, SEEK_DATA), want);
}

fn many_extents(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    for i in 0..100 {
        pwrite(&fd, b"x", i * 8192).unwrap();
    }
    let mut at = 0;
    for i in 0..100 {
        at = lseek(&fd, at, SEEK_DATA).unwrap();
        assert_eq!(at, i * 8192);
        at = lseek(&fd, at, SEEK_HOLE).unwrap();
        assert_eq!(at, if i == 99 { i * 8192 + 1 } else { i * 8192 + 4096 });
    }
}

fn advice(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 10_000]);
    for advice in 0..6 {
        // SAFETY: no pointers.
        assert_eq!(unsafe { libc::posix_fadvise(fd.as_raw_fd(), 0, 0, advice) }, 0);
    }
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::posix_fadvise(fd.as_raw_fd(), 0, 0, 77) }, libc::EINVAL);
    // DONTNEED never drops data.
    assert_eq!((pread(&fd, 10_000, 0), size_and_blocks(&fd)), (Ok(vec![7; 10_000]), (10_000, 24)));
}

fn readahead_call(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 10_000]);
    // SAFETY: no pointers.
    assert_eq!(unsafe { libc::readahead(fd.as_raw_fd(), 0, 10_000) }, 0);
    assert_eq!(sys::pread(&fd, 3, 0), Ok(vec![7; 3]));
}

fn madvise_remove(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 16_384]);
    let map = shared(&fd, 16_384);
    // SAFETY: inside the mapping.
    let got = unsafe { libc::madvise(map.at.wrapping_add(4096).cast(), 8192, MADV_REMOVE) };
    assert_eq!((got, size_and_blocks(&fd)), (0, (16_384, 16)));
    assert_eq!((map.get(0), map.get(4096), map.get(12_287), map.get(12_288)), (7, 0, 0, 7));
}

fn mapped_beyond_allocation(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fallocate(&fd, KEEP, 0, 8192).unwrap();
    let map = shared(&fd, 8192);
    assert_eq!(dies_of(|| map.touch(0)), Some(SIGBUS));
}
