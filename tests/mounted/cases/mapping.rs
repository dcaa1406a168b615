//! mmap: one memory, whoever maps it and by whatever name.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{Step, child, dies_of, mmap, shared, spawn};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["mmap";
    nobody: store_is_read, write_is_seen, two_mappings, hard_links_are_one_memory, renamed_is_one_memory, between_processes, private_copies, private_sees_until_copied, private_of_readonly, offset_mapping, bad_offsets, zero_length, empty_file, write_only_file,
        readonly_shared_cannot_be_made_writable, readwrite_can, protect_none, exec_mapping, of_directory, of_fifo, msync_kinds, mlock_pages, mlock_past_end, mincore_pages, madvise_dontneed_keeps, populate, sync_flag, closed_descriptor,
        unlinked_and_reopened, grows_under_mapping, whole_then_part_unmapped, mremap_grows, fork_shares_memory, read_into_mapping, write_from_own_mapping, many_mappings, store_past_eof_in_page, large_sparse_touch, remap_file_pages_order,
        store_survives_close_and_reopen, after_append, after_truncate_down_up, by_process_vm, direct_io_sees_stores, punched_page_is_zero, map_then_chmod, truncate_by_other_process, memory_of_two_files, file_position_untouched, stores_reach_copy, stores_reach_sendfile;
];

fn data(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 4096 + i % 251) as u8).collect()
}

fn store_is_read(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &data(10_000));
    let map = shared(&fd, 10_000);
    assert_eq!(map.copy(0, 10_000), data(10_000));
    map.fill(5_000, b"stored");
    assert_eq!(pread(&fd, 6, 5_000), Ok(b"stored".to_vec()));
    assert_eq!(slurp(c.p("f"))[5_000..5_006], *b"stored");
}

fn write_is_seen(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[0; 10_000]);
    let map = shared(&fd, 10_000);
    assert_eq!(map.get(4_095), 0);
    pwrite(&fd, b"written", 4_093).unwrap();
    assert_eq!(map.copy(4_093, 7), b"written");
    let other = open(c.p("f"), O_WRONLY).unwrap();
    pwrite(&other, b"X", 9_999).unwrap();
    assert_eq!(map.get(9_999), b'X');
}

fn two_mappings(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[0; 8192]);
    let (a, b) = (shared(&fd, 8192), shared(&open(c.p("f"), O_RDWR).unwrap(), 8192));
    assert_ne!(a.at, b.at);
    for i in [0, 4095, 4096, 8191] {
        a.set(i, 7);
        assert_eq!(b.get(i), 7);
        b.set(i, 8);
        assert_eq!(a.get(i), 8);
    }
}

fn hard_links_are_one_memory(c: &Ctx<'_>) {
    let a = shared(&put(c.p("a"), &[0; 4096]), 4096);
    link(c.p("a"), c.p("b")).unwrap();
    let b = shared(&open(c.p("b"), O_RDWR).unwrap(), 4096);
    a.set(1, 7);
    assert_eq!(b.get(1), 7);
    unlink(c.p("a")).unwrap();
    b.set(1, 8);
    assert_eq!((a.get(1), slurp(c.p("b"))[1]), (8, 8));
}

fn renamed_is_one_memory(c: &Ctx<'_>) {
    let a = shared(&put(c.p("a"), &[0; 4096]), 4096);
    mkdir(c.p("d"), 0o700).unwrap();
    rename(c.p("a"), c.p("d/b")).unwrap();
    let b = shared(&open(c.p("d/b"), O_RDWR).unwrap(), 4096);
    a.set(1, 7);
    assert_eq!(b.get(1), 7);
}

fn between_processes(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[0; 4096]), 4096);
    let (stored, answered) = (Step::new(), Step::new());
    let kid = spawn(|| {
        let theirs = shared(&open(c.p("f"), O_RDWR).unwrap(), 4096);
        stored.wait();
        assert_eq!(theirs.get(100), 42);
        theirs.set(200, 43);
        answered.make();
    });
    map.set(100, 42);
    stored.make();
    answered.wait();
    assert_eq!(map.get(200), 43);
    kid.join();
}

fn private_copies(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 8192]);
    let private = mmap(&fd, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0).unwrap();
    private.set(0, 2);
    assert_eq!((pread(&fd, 1, 0), private.get(0)), (Ok(vec![1]), 2));
    pwrite(&fd, &[3], 0).unwrap();
    assert_eq!((private.get(0), private.get(1)), (2, 1));
}

fn private_sees_until_copied(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 8192]);
    let private = mmap(&fd, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0).unwrap();
    assert_eq!(private.get(5_000), 1);
    pwrite(&fd, &[3], 5_000).unwrap();
    assert_eq!(private.get(5_000), 3);
}

fn private_of_readonly(c: &Ctx<'_>) {
    put(c.p("f"), &[1; 4096]);
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    let private = mmap(&fd, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0).unwrap();
    private.set(0, 9);
    assert_eq!((private.get(0), pread(&fd, 1, 0)), (9, Ok(vec![1])));
}

fn offset_mapping(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &data(20_480));
    let map = mmap(&fd, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 8192).unwrap();
    assert_eq!(map.copy(0, 4096), data(20_480)[8192..12_288]);
    map.set(0, 99);
    assert_eq!(pread(&fd, 1, 8192), Ok(vec![99]));
}

fn bad_offsets(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    fails(mmap(&fd, 4096, PROT_READ, MAP_SHARED, 1).map(drop), EINVAL);
    fails(mmap(&fd, 4096, PROT_READ, MAP_SHARED, i64::MAX & !4095).map(drop), EOVERFLOW);
    let past = mmap(&fd, 4096, PROT_READ, MAP_SHARED, 8192).unwrap();
    assert_eq!(dies_of(|| past.touch(0)), Some(SIGBUS));
}

fn zero_length(c: &Ctx<'_>) {
    fails(mmap(&put(c.p("f"), b"x"), 0, PROT_READ, MAP_SHARED, 0).map(drop), EINVAL);
}

fn empty_file(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let map = shared(&fd, 4096);
    assert_eq!(dies_of(|| map.touch(0)), Some(SIGBUS));
    ftruncate(&fd, 1).unwrap();
    assert_eq!(map.get(0), 0);
}

fn write_only_file(c: &Ctx<'_>) {
    put(c.p("f"), &[1; 4096]);
    let fd = open(c.p("f"), O_WRONLY).unwrap();
    for prot in [PROT_READ, PROT_WRITE, PROT_NONE] {
        fails(mmap(&fd, 4096, prot, MAP_SHARED, 0).map(drop), EACCES);
    }
}

fn readonly_shared_cannot_be_made_writable(c: &Ctx<'_>) {
    put(c.p("f"), &[1; 4096]);
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    let map = mmap(&fd, 4096, PROT_READ, MAP_SHARED, 0).unwrap();
    fails(map.protect(PROT_READ | PROT_WRITE), EACCES);
    assert_eq!(dies_of(|| map.set(0, 1)), Some(SIGSEGV));
}

fn readwrite_can(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    let map = mmap(&fd, 4096, PROT_READ, MAP_SHARED, 0).unwrap();
    assert_eq!(dies_of(|| map.set(0, 1)), Some(SIGSEGV));
    map.protect(PROT_READ | PROT_WRITE).unwrap();
    map.set(0, 5);
    assert_eq!(pread(&fd, 1, 0), Ok(vec![5]));
}

fn protect_none(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[1; 4096]), 4096);
    map.set(0, 2);
    map.protect(PROT_NONE).unwrap();
    assert_eq!(dies_of(|| map.touch(0)), Some(SIGSEGV));
    map.protect(PROT_READ).unwrap();
    assert_eq!(map.get(0), 2);
}

fn exec_mapping(c: &Ctx<'_>) {
    // mov eax, 42; ret
    let fd = put(c.p("f"), &[0xb8, 42, 0, 0, 0, 0xc3]);
    let map = mmap(&fd, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0).unwrap();
    if cfg!(target_arch = "x86_64") {
        // SAFETY: the bytes are a function of this kind.
        let f: extern "C" fn() -> i32 = unsafe { std::mem::transmute(map.at) };
        assert_eq!(f(), 42);
    }
}

fn of_directory(c: &Ctx<'_>) {
    fails(mmap(&open(&c.dir, O_RDONLY).unwrap(), 4096, PROT_READ, MAP_SHARED, 0).map(drop), ENODEV);
}

fn of_fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    let fd = open(c.p("n"), O_RDWR | O_NONBLOCK).unwrap();
    fails(mmap(&fd, 4096, PROT_READ, MAP_SHARED, 0).map(drop), ENODEV);
}

fn msync_kinds(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 8192]);
    let map = shared(&fd, 8192);
    map.set(5_000, 9);
    for flags in [MS_SYNC, MS_ASYNC, MS_SYNC | MS_INVALIDATE, MS_INVALIDATE] {
        map.sync(flags).unwrap();
    }
    assert_eq!((map.get(5_000), pread(&fd, 1, 5_000)), (9, Ok(vec![9])));
    fails(map.sync(MS_SYNC | MS_ASYNC), EINVAL);
}

fn mlock_pages(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 16_384).unwrap();
    let map = shared(&fd, 16_384);
    // SAFETY: our own mapping.
    unsafe {
        assert_eq!(libc::mlock(map.at.cast(), 16_384), 0);
        assert_eq!(fstat(&fd).unwrap().blocks, if c.differs() { 0 } else { 32 });
        map.set(10_000, 1);
        assert_eq!(libc::munlock(map.at.cast(), 16_384), 0);
    }
    assert_eq!(pread(&fd, 1, 10_000), Ok(vec![1]));
}

fn mlock_past_end(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[1; 4096]), 8192);
    // SAFETY: our own mapping.
    let got = check(unsafe { libc::mlock(map.at.cast(), 8192) });
    assert_eq!(got, Err(ENOMEM));
}

fn mincore_pages(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    ftruncate(&fd, 12_288).unwrap();
    let map = shared(&fd, 12_288);
    map.set(0, 1);
    let mut pages = [9u8; 3];
    // SAFETY: a byte for each page.
    check(unsafe { libc::mincore(map.at.cast(), 12_288, pages.as_mut_ptr()) }).unwrap();
    assert_eq!(pages[0] & 1, 1);
}

fn madvise_dontneed_keeps(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[0; 8192]), 8192);
    map.fill(0, &data(8192));
    // SAFETY: our own mapping.
    check(unsafe { libc::madvise(map.at.cast(), 8192, MADV_DONTNEED) }).unwrap();
    assert_eq!(map.copy(0, 8192), data(8192));
}

fn populate(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 40_960).unwrap();
    let map = mmap(&fd, 40_960, PROT_READ | PROT_WRITE, MAP_SHARED | libc::MAP_POPULATE, 0).unwrap();
    let blocks = if c.differs() { 0 } else { 80 };
    assert_eq!((fstat(&fd).unwrap().blocks, map.get(40_000)), (blocks, 0));
}

fn sync_flag(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    fails(mmap(&fd, 4096, PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, 0).map(drop), EOPNOTSUPP);
    mmap(&fd, 4096, PROT_READ, MAP_SHARED_VALIDATE, 0).unwrap();
}

fn closed_descriptor(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    let map = shared(&fd, 4096);
    drop(fd);
    map.set(7, 7);
    assert_eq!(slurp(c.p("f"))[7], 7);
}

fn unlinked_and_reopened(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[1; 4096]), 4096);
    unlink(c.p("f")).unwrap();
    put(c.p("f"), &[2; 4096]);
    map.set(0, 9);
    assert_eq!((map.get(1), slurp(c.p("f"))[0]), (1, 2));
}

fn grows_under_mapping(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    let map = shared(&fd, 40_960);
    assert_eq!(dies_of(|| map.set(8192, 1)), Some(SIGBUS));
    pwrite(&fd, &[5; 10], 20_000).unwrap();
    assert_eq!((map.get(8192), map.get(20_000), map.get(20_479)), (0, 5, 0));
    map.set(8192, 6);
    assert_eq!(pread(&fd, 1, 8192), Ok(vec![6]));
    assert_eq!(dies_of(|| map.touch(20_480)), Some(SIGBUS));
}

fn whole_then_part_unmapped(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[1; 12_288]), 12_288);
    // SAFETY: a page in the middle of our own mapping.
    check(unsafe { libc::munmap(map.at.wrapping_add(4096).cast(), 4096) }).unwrap();
    map.set(0, 2);
    map.set(12_287, 3);
    assert_eq!(dies_of(|| map.touch(5_000)), Some(SIGSEGV));
    assert_eq!(slurp(c.p("f"))[12_287], 3);
}

fn mremap_grows(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &data(16_384));
    let map = shared(&fd, 4096);
    // SAFETY: our own mapping, given up for the new one.
    let at = unsafe { libc::mremap(map.at.cast(), 4096, 16_384, libc::MREMAP_MAYMOVE) };
    assert_ne!(at, libc::MAP_FAILED);
    std::mem::forget(map);
    let map = crate::proc::Map { at: at.cast(), len: 16_384 };
    assert_eq!(map.copy(0, 16_384), data(16_384));
    map.set(16_000, 1);
    assert_eq!(pread(&fd, 1, 16_000), Ok(vec![1]));
}

fn fork_shares_memory(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[0; 4096]), 4096);
    child(|| map.set(0, 7));
    assert_eq!(map.get(0), 7);
}

fn read_into_mapping(c: &Ctx<'_>) {
    // A read of one object straight into the mapping of another, and of itself.
    let source = put(c.p("source"), &data(8192));
    let map = shared(&put(c.p("f"), &[0; 8192]), 8192);
    // SAFETY: the mapping is as long as said.
    unsafe {
        assert_eq!(libc::pread(source.as_raw_fd(), map.at.cast(), 8192, 0), 8192);
        let own = open(c.p("f"), O_RDWR).unwrap();
        assert_eq!(libc::pread(own.as_raw_fd(), map.at.wrapping_add(4096).cast(), 100, 0), 100);
    }
    assert_eq!((map.copy(0, 100), map.copy(4096, 100)), (data(100), data(100)));
}

fn write_from_own_mapping(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &data(8192));
    let map = shared(&fd, 8192);
    // SAFETY: inside the mapping. The page that is read is not yet touched when the write begins.
    let n = unsafe { libc::pwrite(fd.as_raw_fd(), map.at.cast(), 4096, 8192) };
    assert_eq!((n, pread(&fd, 4096, 8192)), (4096, Ok(data(4096))));
}

fn many_mappings(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[0; 4096]);
    let maps: Vec<_> = (0..200).map(|_| shared(&fd, 4096)).collect();
    for (i, map) in maps.iter().enumerate() {
        map.set(i, i as u8);
    }
    assert!(maps.iter().all(|m| (0..200).all(|i| m.get(i) == i as u8)));
}

fn store_past_eof_in_page(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 10]);
    let map = shared(&fd, 4096);
    map.set(20, 9);
    assert_eq!((fstat(&fd).unwrap().size, pread(&fd, 100, 0)), (10, Ok(vec![1; 10])));
}

fn large_sparse_touch(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    ftruncate(&fd, 256 << 20).unwrap();
    let map = shared(&fd, 256 << 20);
    for i in (0..256usize << 20).step_by(16 << 20) {
        map.set(i, 1);
    }
    map.sync(MS_SYNC).unwrap();
    assert_eq!(fstat(&fd).unwrap().blocks, 16 * 8);
}

fn remap_file_pages_order(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &data(12_288));
    let map = shared(&fd, 12_288);
    // SAFETY: inside our own mapping: page 0 now shows page 2 of the file.
    check(unsafe { libc::remap_file_pages(map.at.cast(), 4096, 0, 2, 0) }).unwrap();
    assert_eq!((map.copy(0, 50), map.copy(4096, 50)), (data(12_288)[8192..8242].to_vec(), data(12_288)[4096..4146].to_vec()));
}

fn store_survives_close_and_reopen(c: &Ctx<'_>) {
    for i in 0..20u8 {
        let fd = open(c.p("f"), O_CREAT | O_RDWR).unwrap();
        ftruncate(&fd, 8192).unwrap();
        let map = shared(&fd, 8192);
        drop(fd);
        assert!(i == 0 || map.get(4_000 + i as usize) == i);
        map.set(4_001 + i as usize, i + 1);
    }
    assert_eq!(slurp(c.p("f"))[4_020], 20);
}

fn after_append(c: &Ctx<'_>) {
    put(c.p("f"), &[1; 4_000]);
    let fd = open(c.p("f"), O_RDWR | O_APPEND).unwrap();
    let map = shared(&fd, 8192);
    map.set(0, 2);
    sys::write(&fd, &[3; 4_192]).unwrap();
    assert_eq!((map.get(0), map.get(3_999), map.get(4_000), map.get(8_191)), (2, 1, 3, 3));
}

fn after_truncate_down_up(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 8192]);
    let map = shared(&fd, 8192);
    map.set(6_000, 2);
    ftruncate(&fd, 6_000).unwrap();
    map.set(5_999, 3);
    ftruncate(&fd, 8192).unwrap();
    assert_eq!((map.copy(5_998, 4), pread(&fd, 4, 5_998)), (vec![1, 3, 0, 0], Ok(vec![1, 3, 0, 0])));
}

fn by_process_vm(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &data(4096)), 4096);
    let mut buf = [0u8; 16];
    let local = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: 16 };
    let remote = libc::iovec { iov_base: map.at.cast(), iov_len: 16 };
    // SAFETY: both ranges are ours.
    let n = unsafe { libc::process_vm_readv(std::process::id() as i32, &local, 1, &remote, 1, 0) };
    assert_eq!((n, buf.to_vec()), (16, data(16)));
}

fn direct_io_sees_stores(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[1; 8192]), 8192);
    map.set(4096, 9);
    let direct = open(c.p("f"), O_RDWR | O_DIRECT).unwrap();
    assert_eq!(pread(&direct, 1, 4096), Ok(vec![9]));
    pwrite(&direct, &[5; 10], 0).unwrap();
    assert_eq!(map.get(9), 5);
}

fn punched_page_is_zero(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 8192]);
    let map = shared(&fd, 8192);
    map.set(0, 2);
    fallocate(&fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192).unwrap();
    assert_eq!((map.get(0), map.get(8_191), fstat(&fd).unwrap().size), (0, 0, 8192));
}

fn map_then_chmod(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 4096]);
    let map = shared(&fd, 4096);
    fchmod(&fd, 0).unwrap();
    map.set(0, 2);
    let again = shared(&fd, 4096);
    assert_eq!(again.get(0), 2);
}

fn truncate_by_other_process(c: &Ctx<'_>) {
    let map = shared(&put(c.p("f"), &[1; 8192]), 8192);
    map.set(5_000, 2);
    child(|| truncate(c.p("f"), 100).unwrap());
    assert_eq!((map.get(99), map.get(100), dies_of(|| map.touch(5_000))), (1, 0, Some(SIGBUS)));
    child(|| truncate(c.p("f"), 8192).unwrap());
    assert_eq!((map.get(99), map.get(5_000)), (1, 0));
}

fn memory_of_two_files(c: &Ctx<'_>) {
    let (a, b) = (shared(&put(c.p("a"), &[1; 4096]), 4096), shared(&put(c.p("b"), &[2; 4096]), 4096));
    rename2(c.p("a"), c.p("b"), RENAME_EXCHANGE).unwrap();
    a.set(0, 11);
    b.set(0, 22);
    assert_eq!((slurp(c.p("a"))[0], slurp(c.p("b"))[0]), (22, 11));
}

fn file_position_untouched(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[1; 100]);
    let map = shared(&fd, 100);
    map.set(0, 2);
    assert_eq!(lseek(&fd, 0, SEEK_CUR), Ok(100));
}

fn stores_reach_copy(c: &Ctx<'_>) {
    let (f, g) = (put(c.p("f"), &[1; 8192]), put(c.p("g"), &[2; 8192]));
    let (a, b) = (shared(&f, 8192), shared(&g, 8192));
    a.set(5_000, 9);
    b.set(100, 8);
    let (mut at, mut to) = (4096i64, 0i64);
    let n = crate::syscall!(libc::SYS_copy_file_range, f.as_raw_fd(), &mut at, g.as_raw_fd(), &mut to, 4096usize, 0);
    assert_eq!((n, b.get(904), b.get(100), b.get(4_096)), (Ok(4096), 9, 1, 2));
}

fn stores_reach_sendfile(c: &Ctx<'_>) {
    let (f, g) = (put(c.p("f"), &[1; 8192]), put(c.p("g"), b""));
    let a = shared(&f, 8192);
    a.set(5_000, 9);
    let mut at = 0i64;
    // SAFETY: a live offset.
    assert_eq!(unsafe { libc::sendfile(g.as_raw_fd(), f.as_raw_fd(), &mut at, 8192) }, 8192);
    assert_eq!(slurp(c.p("g"))[5_000], 9);
}
