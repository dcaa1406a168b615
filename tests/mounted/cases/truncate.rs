//! truncate, fallocate, holes, blocks.

use crate::consts::*;
use crate::proc::{dies_of, shared};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["truncate";
    nobody: shrink_and_grow_zeroes, tail_of_a_page, tail_seen_by_mapping, mapped_beyond_end_dies, mapped_tail_of_last_page, mapping_lives_again_after_growth,
        to_zero_frees_blocks, sparse_takes_nothing, write_takes_pages, of_directory, of_symlink_target, of_fifo, of_missing, of_readonly_descriptor,
        sparse_huge, largest_size, beyond_largest_size, rlimit_fsize, shared_by_names, then_append, in_steps, private_mapping_of_truncated,
        big_then_small_many_times;
];

const PAGE: i64 = 4096;

fn blocks(fd: &impl std::os::fd::AsRawFd) -> i64 {
    fstat(fd).unwrap().blocks
}

fn shrink_and_grow_zeroes(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 10_000]);
    ftruncate(&fd, 3).unwrap();
    ftruncate(&fd, 10_000).unwrap();
    let data = slurp(c.p("f"));
    assert_eq!((data.len(), &data[..3]), (10_000, &[7, 7, 7][..]));
    assert!(data[3..].iter().all(|&b| b == 0));
}

fn tail_of_a_page(c: &Ctx<'_>) {
    for size in [1, 4095, 4096, 4097, 8191, 8192] {
        let fd = put(c.p("f"), &[7; 12_000]);
        ftruncate(&fd, size).unwrap();
        ftruncate(&fd, 12_000).unwrap();
        let data = pread(&fd, 12_000, 0).unwrap();
        assert!(data[..size as usize].iter().all(|&b| b == 7), "{size}");
        assert!(data[size as usize..].iter().all(|&b| b == 0), "{size}");
    }
}

fn tail_seen_by_mapping(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    let map = shared(&fd, 8192);
    assert_eq!(map.get(5000), 7);
    ftruncate(&fd, 4100).unwrap();
    assert_eq!((map.get(4099), map.get(4100), map.get(8191)), (7, 0, 0));
    ftruncate(&fd, 8192).unwrap();
    assert_eq!((map.get(4099), map.get(4100), map.get(8191)), (7, 0, 0));
}

fn mapped_beyond_end_dies(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    let map = shared(&fd, 16_384);
    let touch = |at| dies_of(|| map.touch(at));
    let store = |at| dies_of(|| map.set(at, 1));
    assert_eq!((touch(0), touch(8191), touch(8192), touch(16_383)), (None, None, Some(SIGBUS), Some(SIGBUS)));
    map.set(8191, 9);
    ftruncate(&fd, 4096).unwrap();
    assert_eq!((touch(4095), touch(4096), store(8000), store(4000)), (None, Some(SIGBUS), Some(SIGBUS), None));
    ftruncate(&fd, 0).unwrap();
    assert_eq!((touch(0), store(0)), (Some(SIGBUS), Some(SIGBUS)));
}

fn mapped_tail_of_last_page(c: &Ctx<'_>) {
    // The rest of the last page can be stored to; growing the file then shows it or not as tmpfs does.
    let fd = put(c.p("f"), &[7; 100]);
    let map = shared(&fd, 4096);
    assert_eq!((map.get(99), map.get(100), map.get(4095)), (7, 0, 0));
    map.set(200, 9);
    assert_eq!(pread(&fd, 4096, 0).unwrap().len(), 100);
    assert_eq!(fstat(&fd).unwrap().size, 100);
    ftruncate(&fd, 4096).unwrap();
    assert_eq!(pread(&fd, 1, 99), Ok(vec![7]));
    // shmem does not clear what a mapping stored past the end when the file grows.
    let want = if c.differs() { 0 } else { 9 };
    assert_eq!((pread(&fd, 1, 200), map.get(200)), (Ok(vec![want]), want));
}

fn mapping_lives_again_after_growth(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    let map = shared(&fd, 8192);
    map.set(5000, 8);
    ftruncate(&fd, 0).unwrap();
    ftruncate(&fd, 8192).unwrap();
    assert_eq!((map.get(0), map.get(5000)), (0, 0));
    map.set(5000, 3);
    assert_eq!(pread(&fd, 1, 5000), Ok(vec![3]));
}

fn to_zero_frees_blocks(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 100_000]);
    assert_eq!(blocks(&fd), 25 * 8);
    ftruncate(&fd, 50_000).unwrap();
    assert_eq!(blocks(&fd), 13 * 8);
    ftruncate(&fd, 4097).unwrap();
    assert_eq!(blocks(&fd), 16);
    ftruncate(&fd, 4096).unwrap();
    assert_eq!(blocks(&fd), 8);
    ftruncate(&fd, 0).unwrap();
    assert_eq!(blocks(&fd), 0);
}

fn sparse_takes_nothing(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 100 << 20).unwrap();
    assert_eq!((blocks(&fd), pread(&fd, 4, 50 << 20)), (0, Ok(vec![0; 4])));
    // A hole that was read through read(2) stays a hole.
    assert_eq!(blocks(&fd), 0);
    pwrite(&fd, b"x", 50 << 20).unwrap();
    assert_eq!(blocks(&fd), 8);
}

fn write_takes_pages(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"x");
    assert_eq!(blocks(&fd), 8);
    pwrite(&fd, b"xx", 4095).unwrap();
    assert_eq!(blocks(&fd), 16);
    pwrite(&fd, &[1; 4096], 40_960).unwrap();
    assert_eq!(blocks(&fd), 24);
    pwrite(&fd, b"again", 40_960).unwrap();
    assert_eq!((blocks(&fd), fstat(&fd).unwrap().size), (24, 45_056));
}

fn of_directory(c: &Ctx<'_>) {
    fails(truncate(&c.dir, 0), EISDIR);
}

fn of_symlink_target(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    symlink("f", c.p("l")).unwrap();
    truncate(c.p("l"), 2).unwrap();
    assert_eq!(slurp(c.p("f")), b"da");
}

fn of_fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    fails(truncate(c.p("n"), 0), EINVAL);
    let fd = open(c.p("n"), O_RDWR | O_NONBLOCK).unwrap();
    fails(ftruncate(&fd, 0), EINVAL);
}

fn of_missing(c: &Ctx<'_>) {
    fails(truncate(c.p("no"), 0), ENOENT);
    fails(truncate(c.p("no/no"), 0), ENOENT);
}

fn of_readonly_descriptor(c: &Ctx<'_>) {
    touch(c.p("f"));
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    fails(ftruncate(&fd, 10), EINVAL);
}

fn sparse_huge(c: &Ctx<'_>) {
    // A sparse terabyte costs nothing.
    let fd = put(c.p("f"), b"");
    if c.differs() {
        fails(ftruncate(&fd, 1 << 40), ENOSPC);
        assert_eq!(fstat(&fd).unwrap().size, 0);
        return;
    }
    ftruncate(&fd, 1 << 40).unwrap();
    pwrite(&fd, b"end", (1 << 40) - 3).unwrap();
    assert_eq!((fstat(&fd).unwrap().size, blocks(&fd)), (1 << 40, 8));
}

fn largest_size(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let max = i64::MAX;
    if c.differs() {
        fails(ftruncate(&fd, max), ENOSPC);
        return;
    }
    ftruncate(&fd, max).unwrap();
    assert_eq!(fstat(&fd).unwrap().size, max);
    ftruncate(&fd, 0).unwrap();
    pwrite(&fd, b"x", max - PAGE - 1).unwrap();
    assert_eq!((fstat(&fd).unwrap().size, blocks(&fd)), (max - PAGE, 8));
}

fn beyond_largest_size(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    fails(pwrite(&fd, b"xx", i64::MAX - 1), EINVAL);
    fails(fallocate(&fd, 0, i64::MAX - 10, 100), EFBIG);
    assert_eq!(fstat(&fd).unwrap().size, 0);
}

fn rlimit_fsize(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let limit = libc::rlimit { rlim_cur: 10_000, rlim_max: 10_000 };
    // SAFETY: a live rlimit; the signal is ignored so that the errno shows.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    ftruncate(&fd, 10_000).unwrap();
    fails(ftruncate(&fd, 10_001), EFBIG);
    fails(truncate(c.p("f"), 10_001), EFBIG);
    assert_eq!(pwrite(&fd, &[1; 100], 9_950), Ok(50));
    fails(pwrite(&fd, b"x", 10_000), EFBIG);
    fails(fallocate(&fd, 0, 0, 10_001), EFBIG);
    assert_eq!(fstat(&fd).unwrap().size, 10_000);
}

fn shared_by_names(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 9000]);
    link(c.p("f"), c.p("g")).unwrap();
    let map = shared(&open(c.p("g"), O_RDWR).unwrap(), 9000);
    truncate(c.p("g"), 100).unwrap();
    assert_eq!((pread(&fd, 9000, 0).unwrap().len(), dies_of(|| map.touch(5000))), (100, Some(SIGBUS)));
}

fn then_append(c: &Ctx<'_>) {
    let fd = open(c.p("f"), O_CREAT | O_RDWR | O_APPEND).unwrap();
    ftruncate(&fd, 5).unwrap();
    sys::write(&fd, b"x").unwrap();
    ftruncate(&fd, 2).unwrap();
    sys::write(&fd, b"y").unwrap();
    assert_eq!(slurp(c.p("f")), b"\0\0y");
}

fn in_steps(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    for i in 1..200 {
        ftruncate(&fd, i * 1000).unwrap();
        pwrite(&fd, &[i as u8], i * 1000 - 1).unwrap();
    }
    let data = slurp(c.p("f"));
    assert!((1..200).all(|i| data[i * 1000 - 1] == i as u8 && data[i * 1000 - 500] == 0));
}

fn private_mapping_of_truncated(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[7; 8192]);
    let map = crate::proc::mmap(&fd, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0).unwrap();
    map.set(5000, 9);
    ftruncate(&fd, 4096).unwrap();
    // Private copies of truncated pages go too.
    assert_eq!((map.get(0), dies_of(|| map.touch(5000))), (7, Some(SIGBUS)));
}

fn big_then_small_many_times(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    for i in 0..100u8 {
        ftruncate(&fd, 1 << 20).unwrap();
        pwrite(&fd, &[i; 5000], 500_000).unwrap();
        ftruncate(&fd, 501_000).unwrap();
        assert_eq!(pread(&fd, 2000, 500_500).unwrap(), [i; 500]);
        ftruncate(&fd, 0).unwrap();
    }
    assert_eq!(blocks(&fd), 0);
}
