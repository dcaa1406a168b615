//! One object through the tree and through exports: memory, sizes, and their end.

use std::os::fd::OwnedFd;
use std::path::Path;

use crate::calls::reopen;
use crate::consumer::{become_consumer, consume};
use crate::model::{Rights, Rules, Way, Who};
use crate::proc::{self, Kid, Step, mmap, shared};
use crate::sys::{self, EACCES, ENODEV, ENOENT, fails};
use crate::world::{USER, WAYS, World};

const LENGTH: usize = 16_384;

fn rules() -> String {
    let reader = Rules::default().grant("frame*", Rights::READ);
    let writer = Rules::default().grant("frame*", Rights::ALL);
    let feeder = Rules::default().grant("frame*", Rights::WRITE.and(Rights::CREATE));
    reader.toml("reader") + &writer.toml("writer") + &feeder.toml("feeder")
}

fn world(way: Way) -> World {
    let world = World::new(way, &rules());
    let file = sys::put(world.path("frame"), &[1; LENGTH]);
    sys::fchmod(&file, 0o666).unwrap();
    world
}

/// A consumer that does one thing after each step, and says when it is done.
struct Partner {
    go: Step,
    done: Step,
    kid: Kid,
}

fn partner(who: Who, work: impl Fn(&dyn Fn())) -> Partner {
    let (go, done) = (Step::new(), Step::new());
    let kid = proc::spawn(|| {
        become_consumer(who);
        // The first step says that it is ready, each further waits for the other side.
        work(&|| {
            done.make();
            go.wait();
        });
        done.make();
    });
    done.wait();
    Partner { go, done, kid }
}

impl Partner {
    /// Lets it do the next thing.
    fn step(&self) {
        self.go.make();
        self.done.wait();
    }
}

/// With passthrough a store is seen through every mapping, at once.
pub(crate) fn a_store_is_seen_at_once() {
    let world = world(Way::Passthrough);
    let reader = world.export("reader");
    let writer = world.export("writer");
    let file = sys::open(world.path("frame"), libc::O_RDWR).unwrap();
    let memory = shared(&file, LENGTH);
    let watcher = partner(Who::User, |pause| {
        let file = sys::open(reader.join("frame"), libc::O_RDONLY).unwrap();
        let seen = mmap(&file, LENGTH, libc::PROT_READ, libc::MAP_SHARED, 0).unwrap();
        drop(file);
        assert_eq!(seen.get(100), 1);
        for expected in [7, 8, 9] {
            pause();
            assert_eq!((seen.get(0), seen.get(LENGTH - 1)), (expected, expected));
        }
    });
    for byte in [7, 8] {
        memory.set(0, byte);
        memory.set(LENGTH - 1, byte);
        watcher.step();
    }
    // The third comes from another consumer.
    consume(Who::User, || {
        let file = sys::open(writer.join("frame"), libc::O_RDWR).unwrap();
        let memory = shared(&file, LENGTH);
        memory.set(0, 9);
        memory.set(LENGTH - 1, 9);
    });
    watcher.step();
    watcher.kid.join();
    assert_eq!(memory.get(0), 9);
    drop((memory, file));
    world.stop();
}

/// Two processes count in turns, one through the tree and one through an export that may write.
pub(crate) fn two_mappings_count_in_turns() {
    for way in WAYS {
        let world = world(way);
        let export = world.export("writer");
        let file = sys::open(world.path("frame"), libc::O_RDWR).unwrap();
        let memory = shared(&file, 4096);
        memory.set(0, 0);
        let turns = |memory: &proc::Map, odd: bool| {
            for round in (u8::from(odd)..100).step_by(2) {
                let begin = std::time::Instant::now();
                while memory.get(0) != round {
                    assert!(begin.elapsed() < crate::consumer::PATIENCE, "round {round}");
                    std::thread::yield_now();
                }
                memory.set(0, round + 1);
            }
        };
        let other = proc::spawn(|| {
            become_consumer(Who::User);
            let file = sys::open(export.join("frame"), libc::O_RDWR).unwrap();
            turns(&shared(&file, 4096), true);
        });
        turns(&memory, false);
        other.join();
        assert_eq!(memory.get(0), 100);
        drop((memory, file));
        world.stop();
    }
}

/// Without passthrough a reader's shared mapping is refused, a private one is a copy, and
/// read sees all that was written back.
pub(crate) fn without_passthrough_read_sees_what_was_written_back() {
    let world = world(Way::PageCache);
    let (reader, feeder) = (world.export("reader"), world.export("feeder"));
    let file = sys::open(world.path("frame"), libc::O_RDWR).unwrap();
    let memory = shared(&file, LENGTH);
    let watcher = partner(Who::User, |pause| {
        let file = sys::open(reader.join("frame"), libc::O_RDONLY).unwrap();
        fails(
            mmap(&file, LENGTH, libc::PROT_READ, libc::MAP_SHARED, 0).map(drop),
            ENODEV,
        );
        let both = libc::PROT_READ | libc::PROT_WRITE;
        fails(
            mmap(&file, LENGTH, both, libc::MAP_SHARED, 0).map(drop),
            EACCES,
        );
        drop(mmap(&file, LENGTH, both, libc::MAP_PRIVATE, 0).expect("a private mapping"));
        for expected in [21, 22, 23] {
            pause();
            assert_eq!(sys::pread(&file, 1, 5000), Ok(vec![expected]));
        }
    });
    memory.set(5000, 21);
    memory.sync(libc::MS_SYNC).unwrap();
    watcher.step();
    assert_eq!(sys::pwrite(&file, &[22], 5000), Ok(1));
    watcher.step();
    consume(Who::User, || {
        let file = sys::open(feeder.join("frame"), libc::O_WRONLY).unwrap();
        assert_eq!(sys::pwrite(&file, &[23], 5000), Ok(1));
    });
    watcher.step();
    watcher.kid.join();
    drop((memory, file));
    world.stop();
}

/// What a write-only consumer writes is what the provider reads and maps, in each way; what the
/// provider stored beside it is not lost.
pub(crate) fn what_a_writer_writes_the_provider_reads() {
    for way in WAYS {
        let world = world(way);
        let feeder = world.export("feeder");
        let file = sys::open(world.path("frame"), libc::O_RDWR).unwrap();
        assert_eq!(sys::pread(&file, 1, 9000), Ok(vec![1]));
        let memory = shared(&file, LENGTH);
        for byte in [31, 32, 33] {
            // On the same page.
            memory.set(8192, byte);
            consume(Who::User, || {
                let file = sys::open(feeder.join("frame"), libc::O_WRONLY).unwrap();
                assert_eq!(sys::pwrite(&file, &[byte; 100], 9000), Ok(100));
                let punch = libc::FALLOC_FL_KEEP_SIZE | libc::FALLOC_FL_PUNCH_HOLE;
                sys::fallocate(&file, punch, 9010, 5).unwrap();
            });
            assert_eq!(sys::pread(&file, 1, 9050), Ok(vec![byte]), "{way:?}");
            assert_eq!(sys::pread(&file, 1, 9012), Ok(vec![0]), "{way:?}");
            assert_eq!(
                (memory.get(9050), memory.get(8192)),
                (byte, byte),
                "{way:?}"
            );
        }
        drop((memory, file));
        world.stop();
    }
}

/// Sizes follow at once, and a mapping beyond the end dies as on tmpfs.
pub(crate) fn sizes_follow() {
    for way in WAYS {
        let world = world(way);
        let reader = world.export("reader");
        let path = reader.join("frame");
        for size in [100, 1 << 20, 0, 5000] {
            sys::truncate(world.path("frame"), size).unwrap();
            assert_eq!(sys::stat(&path).unwrap().size, size, "{way:?}");
            assert_eq!(sys::slurp(&path).len() as i64, size, "{way:?}");
        }
        if way == Way::Passthrough {
            sys::truncate(world.path("frame"), LENGTH as i64).unwrap();
            let file = sys::open(&path, libc::O_RDONLY).unwrap();
            let seen = mmap(&file, LENGTH, libc::PROT_READ, libc::MAP_SHARED, 0).unwrap();
            seen.touch(LENGTH - 1);
            sys::truncate(world.path("frame"), 0).unwrap();
            assert_eq!(proc::dies_of(|| seen.touch(LENGTH - 1)), Some(libc::SIGBUS));
        }
        world.stop();
    }
}

/// After the last name has gone a consumer keeps what it has open, and its memory comes back
/// when that ends.
pub(crate) fn an_unlinked_object_lives_while_it_is_open() {
    for way in WAYS {
        let world = world(way);
        let path = world.export("reader").join("frame");
        let before = blocks(&world.tree());
        let file = sys::open(&path, libc::O_RDONLY).unwrap();
        sys::unlink(world.path("frame")).unwrap();
        fails(sys::open(&path, libc::O_RDONLY), ENOENT);
        assert_eq!(sys::pread(&file, 1, 0), Ok(vec![1]));
        assert_eq!(sys::fstat(&file).unwrap().size, LENGTH as i64);
        // A new object of the same name is another one.
        drop(sys::put(world.path("frame"), &[2; 10]));
        assert_eq!(sys::slurp(&path), [2; 10]);
        assert_eq!(sys::pread(&file, 1, 0), Ok(vec![1]));
        drop(file);
        sys::unlink(world.path("frame")).unwrap();
        proc::eventually("the memory comes back", || blocks(&world.tree()) < before);
        world.stop();
    }
}

/// What is open is there under whatever name it gets, and has what its descriptor has where that leads nowhere.
pub(crate) fn an_open_object_that_is_renamed_is_the_same() {
    for way in WAYS {
        let world = world(way);
        let export = world.export("writer");
        let make = |name: &str| {
            let file = sys::put(world.path(name), &[1; 100]);
            sys::fchmod(&file, 0o666).unwrap();
            sys::fchown(&file, USER, USER).unwrap();
            sys::open(export.join(name), libc::O_RDWR).unwrap()
        };
        let descriptor = |file: &OwnedFd, name: &str| {
            sys::pwrite(file, b"more", 0).expect(name);
            sys::ftruncate(file, 10).expect(name);
            assert_eq!(sys::fstat(file).unwrap().size, 10, "{name}");
        };
        let whole = |file: &OwnedFd, name: &str| {
            consume(Who::User, || {
                descriptor(file, name);
                sys::fchmod(file, 0o640).expect(name);
                sys::futimens(file, [(1, 1), (2, 2)]).expect(name);
                reopen(file, libc::O_RDWR).expect(name);
            });
        };
        let moved = |name: &str, to: &str| {
            let file = make(name);
            sys::rename(world.path(name), world.path(to)).unwrap();
            file
        };
        whole(&moved("frame-1", "frame-2"), "renamed by the provider");
        descriptor(&moved("frame-3", "gone"), "renamed to what is hidden");
        let (one, other) = (make("frame-4"), make("frame-5"));
        for dir in [&world.tree(), &export] {
            let (a, b) = (dir.join("frame-4"), dir.join("frame-5"));
            sys::rename2(a, b, libc::RENAME_EXCHANGE).unwrap();
            whole(&one, "exchanged");
            whole(&other, "exchanged with");
        }
        drop((one, other));
        world.stop();
    }
}

/// Who appends by one name does not write over what another one has appended by another, nor beyond the end where it
/// was cut.
pub(crate) fn appends_follow_each_other() {
    let limited = Rules::default().grant("log*", Rights::ALL);
    let limited = limited.toml("limited");
    let limited = limited.replace("[export.limited]", "[export.limited]\nsize = \"1m\"");
    let feeder = Rules::default().grant("log*", Rights::WRITE);
    let unlimited = Rules::default().grant("log*", Rights::ALL);
    let config = limited + &feeder.toml("feeder") + &unlimited.toml("unlimited");
    for way in WAYS {
        let world = World::new(way, &config);
        let exports = ["limited", "unlimited", "feeder"].map(|name| world.export(name));
        for (number, maker) in [&world.tree(), &exports[0], &exports[1]]
            .into_iter()
            .enumerate()
        {
            let name = format!("log{number}");
            let made = sys::put(maker.join(&name), b"");
            sys::fchmod(&made, 0o666).unwrap();
            let append =
                |dir: &Path| sys::open(dir.join(&name), libc::O_WRONLY | libc::O_APPEND).unwrap();
            let mut all: Vec<OwnedFd> = exports.iter().map(|dir| append(dir)).collect();
            all.push(append(&world.tree()));
            let mut expected = Vec::new();
            for round in 0..40 {
                let line = [b'a' + (round % 26) as u8; 1000];
                sys::write(&all[round * 7 % all.len()], &line).unwrap();
                expected.extend(line);
            }
            let seen = sys::slurp(world.path(&name));
            assert!(seen == expected, "{way:?}, {name}: {} bytes", seen.len());
            if way == Way::Passthrough {
                append_at_once(&all, &world.path(&name));
            }
        }
        world.stop();
    }
}

/// Each of some processes appends while the others do.
fn append_at_once(files: &[OwnedFd], path: &Path) {
    sys::truncate(path, 0).unwrap();
    let writers = files.iter().enumerate().map(|(number, file)| {
        proc::spawn(move || {
            for _ in 0..200 {
                sys::write(file, &[b'a' + number as u8; 10]).unwrap();
            }
        })
    });
    let writers: Vec<Kid> = writers.collect();
    writers.into_iter().for_each(Kid::join);
    let seen = sys::slurp(path);
    for number in 0..files.len() {
        let byte = b'a' + number as u8;
        let count = seen.iter().filter(|&&it| it == byte).count();
        assert_eq!(count, 2000, "of writer {number}");
    }
}

fn blocks(path: &Path) -> u64 {
    let stat = sys::statfs(path).unwrap();
    stat.f_blocks - stat.f_bfree
}

/// The log says which export's readers cannot map without passthrough, and only then.
pub(crate) fn the_log_says_that_readers_cannot_map() {
    for (way, expected) in [(Way::Passthrough, false), (Way::PageCache, true)] {
        let world = world(way);
        let says = |world: &World| {
            let log = world.log();
            log.lines()
                .any(|line| line.contains("passthrough") && line.contains("reader"))
        };
        drop(world.export("reader"));
        if expected {
            proc::eventually("the log names the export", || says(&world));
        } else {
            assert!(!says(&world), "{}", world.log());
        }
        world.stop();
    }
}
