//! Real programs, to each of which its export is `/dev/shm`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::alone::unshare_mounts;
use crate::consumer::become_consumer;
use crate::model::{Way, Who};
use crate::proc::{self, Kid};
use crate::rules::{RealName, real_names};
use crate::support;
use crate::sys::{self, EACCES, ENOENT, fails};
use crate::world::{USER, WAYS, World};

/// Starts a command in a mount namespace where `shm` is its `/dev/shm`.
fn start(shm: &Path, who: Who, command: &[&str]) -> Kid {
    proc::spawn(|| {
        unshare_mounts();
        rustix::mount::mount_bind(shm, "/dev/shm").expect("bind on this namespace's /dev/shm");
        become_consumer(who);
        let output = Command::new(command[0])
            .args(&command[1..])
            .output()
            .expect(command[0]);
        assert!(
            output.status.success(),
            "{command:?}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    })
}

#[track_caller]
fn run(shm: &Path, command: &[&str]) {
    start(shm, Who::User, command).join();
}

/// A program in tests/exports/programs.
fn source(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/exports/programs").join(name);
    path.to_str().unwrap().to_owned()
}

/// Compiles a C program with this compiler.
fn compile(world: &World, compiler: &str, name: &str) -> String {
    let package = if compiler == "cc" {
        "gcc"
    } else {
        "musl-tools"
    };
    support::need(compiler, package).unwrap();
    let program = world.outside("bin").join(format!("{name}-{compiler}"));
    let program = program.to_str().unwrap().to_owned();
    let source = source(&format!("{name}.c"));
    let mut command = Command::new(compiler);
    command.args(["-std=gnu11", "-O1", "-pthread", "-o", &program, &source]);
    support::check(&mut command).unwrap();
    program
}

fn python(world: &World, script: &str) -> String {
    support::need("python3", "python3").unwrap();
    // Where an ordinary user can read it.
    let copy = world.outside("bin").join(script);
    std::fs::copy(source(script), &copy).unwrap();
    copy.to_str().unwrap().to_owned()
}

/// snapd's pattern: one provider, and two consumers with different rights.
pub(crate) fn students_and_teachers() {
    let config = r#"
        [export.teacher]
        write = ["lesson*", "marks"]
        [[export.teacher.rule]]
        path = "answer-*"
        permissions = ["read", "delete"]

        [export.student]
        read = ["lesson*"]
        [[export.student.rule]]
        path = "answer-*"
        permissions = ["write", "create"]
    "#;
    for way in WAYS {
        let world = World::new(way, config);
        let script = python(&world, "classroom.py");
        let play = |shm: PathBuf, role: &str| run(&shm, &["python3", &script, role]);
        play(world.tree(), "school");
        play(world.export("teacher"), "teacher");
        play(world.export("student"), "student");
        play(world.export("teacher"), "marking");
        assert_eq!(&sys::slurp(world.path("marks"))[..9], b"very good");
        assert_eq!(sys::slurp(world.path("register")), b"who is there");
        world.stop();
    }
}

/// A talker and a listener under exact rules: glibc's semaphores.
pub(crate) fn a_talker_and_a_listener() {
    let config = r#"
        [export.talker]
        write = ["fastrtps_*"]
        semaphores = ["fastrtps_*"]
        [export.listener]
        read = ["fastrtps_*"]
        semaphores = ["fastrtps_*"]
    "#;
    talk_and_listen("cc", config);
}

/// The same with musl, whose semaphores have no prefix.
pub(crate) fn a_talker_and_a_listener_with_musl() {
    let config = r#"
        [export.talker]
        write = ["fastrtps_*"]
        semaphores = ["fastrtps_*"]
        [export.listener]
        read = ["fastrtps_1*"]
        write = ["fastrtps_port[0-9]*_mutex"]
        semaphores = ["fastrtps_*"]
    "#;
    talk_and_listen("musl-gcc", config);
}

fn talk_and_listen(compiler: &str, config: &str) {
    for way in WAYS {
        let world = World::new(way, config);
        let program = compile(&world, compiler, "ros");
        // A reader's shared mapping needs passthrough.
        let reads = if way == Way::Passthrough {
            "map"
        } else {
            "read"
        };
        let (talker, listener) = (world.export("talker"), world.export("listener"));
        let listening = start(&listener, Who::User, &[&program, "listener", "300", reads]);
        let talking = start(&talker, Who::User, &[&program, "talker", "300"]);
        talking.join();
        listening.join();
        for (export, names) in [(&talker, 2), (&listener, 2)] {
            assert_eq!(
                sys::ls(export).len(),
                names,
                "no temporary is left: {:?}",
                sys::ls(export)
            );
        }
        world.stop();
    }
}

/// sem_open where nothing but one semaphore is granted.
pub(crate) fn semaphores_under_exact_rules() {
    let config = r#"
        [export.exact]
        semaphores = ["mine"]
        [export.musl]
        write = ["mine"]
        semaphores = ["mine"]
    "#;
    for way in WAYS {
        let world = World::new(way, config);
        for (compiler, export) in [("cc", "exact"), ("musl-gcc", "musl")] {
            let program = compile(&world, compiler, "semaphores");
            run(&world.export(export), &[&program, "/mine", "/other"]);
            assert_eq!(
                sys::ls(world.tree()),
                [""; 0],
                "{compiler}: nothing is left"
            );
            assert_eq!(
                sys::ls(world.export(export)),
                [""; 0],
                "{compiler}: nothing is left"
            );
        }
        world.stop();
    }
}

/// Two calls of sem_open with one name give one address: the C library knows the semaphore by
/// the number of its file.
pub(crate) fn sem_open_gives_one_address() {
    let config = "[export.exact]\nsemaphores = [\"mine\"]\n";
    for way in WAYS {
        let world = World::new(way, config);
        let program = compile(&world, "cc", "semaphores");
        run(&world.export("exact"), &[&program, "/mine"]);
        world.stop();
    }
}

/// Python's shared memory, read through an export.
pub(crate) fn pythons_shared_memory() {
    let create = "
import os
from multiprocessing import resource_tracker, shared_memory
os.umask(0)
block = shared_memory.SharedMemory(name='psm_21467b4f', create=True, size=10000)
resource_tracker.unregister(block._name, 'shared_memory')
os.chmod('/dev/shm/psm_21467b4f', 0o666)
block.buf[:5] = b'hello'
block.buf[-5:] = b'world'
block.close()
";
    for way in WAYS {
        let world = World::new(way, "[export.reader]\nread = [\"psm_????????\"]\n");
        let script = python(&world, "reader.py");
        run(&world.tree(), &["python3", "-c", create]);
        sys::touch(world.path("secret"));
        let how = if way == Way::Passthrough {
            "map"
        } else {
            "read"
        };
        run(
            &world.export("reader"),
            &["python3", &script, "psm_21467b4f", how],
        );
        world.stop();
    }
}

/// Each of the names that real programs use is made, found and removed under its pattern,
/// and shown by that pattern alone.
pub(crate) fn every_real_name() {
    let names: Vec<RealName> = real_names().collect();
    let config = names.iter().enumerate().map(|(number, name)| {
        let pattern = crate::model::list(&[name.pattern]);
        format!("[export.n{number}]\nwrite = {pattern}\n")
    });
    let config: String = config.collect::<String>() + "[export.none]\nread = [\"no such name\"]\n";
    for way in WAYS {
        let world = World::new(way, &config);
        for (number, name) in names.iter().enumerate() {
            real_name(&world, &world.export(&format!("n{number}")), name);
            assert_eq!(sys::ls(world.export("none")), [""; 0]);
            crate::cases::empty(&world.tree());
        }
        world.stop();
    }
}

fn real_name(world: &World, export: &Path, name: &RealName) {
    let (path, is_directory) = match name.example.strip_suffix('/') {
        Some(path) => (path, true),
        None => (name.example, false),
    };
    // Directories on the way are the provider's, and a stranger is in each.
    let mut above = PathBuf::new();
    drop(sys::put(world.path("stranger!"), b""));
    for part in Path::new(path).parent().unwrap() {
        above.push(part);
        let directory = world.path(above.to_str().unwrap());
        sys::mkdir(&directory, 0o777).unwrap();
        sys::chmod(&directory, 0o777).unwrap();
    }
    let (top, path) = (path.split('/').next().unwrap(), export.join(path));
    crate::consumer::consume(Who::User, || {
        // SAFETY: no pointers.
        unsafe { libc::umask(0) };
        if is_directory {
            sys::mkdir(&path, 0o777).expect(name.example);
            assert_eq!(sys::ls(export), [top]);
            return sys::rmdir(&path).unwrap();
        }
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
        let file = sys::open_mode(&path, flags, 0o600).expect(name.example);
        assert_eq!(sys::fstat(&file).unwrap().uid, USER);
        assert_eq!(sys::ls(export), [top], "{} ({})", name.pattern, name.kind);
        sys::unlink(&path).expect(name.example);
        fails(sys::stat(&path), ENOENT);
        let other = export.join("stranger!");
        fails(sys::stat(&other), ENOENT);
        fails(sys::open(other, libc::O_CREAT | libc::O_RDWR), EACCES);
    });
}
