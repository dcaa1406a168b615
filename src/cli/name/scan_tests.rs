//! Sources, and the calls in them.

use super::*;

/// Each call as `line function name|name`, `?` where the name is not in the text.
fn found(language: Language, source: &str) -> Vec<String> {
    let text = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
    let line = |call: Call| {
        let names: Vec<String> = call.names.iter().map(text).collect();
        format!(
            "{} {} {}",
            call.line,
            call.function,
            if names.is_empty() {
                "?".into()
            } else {
                names.join("|")
            }
        )
    };
    calls(language, source.as_bytes())
        .into_iter()
        .map(line)
        .collect()
}

#[test]
fn c() {
    let source = r##"#define NAME "/defined"
            static const char array[] = "/array";
            int shm_open(const char *name, int flags, mode_t mode);
            /* shm_open("/comment", 0, 0); */
            shm_open("/my" "shm", O_RDWR | O_CREAT, 0600);
            shm_open(NAME, 0, 0); shm_unlink(array);
            shm_open(argv[1], 0, 0);
            shm_open(PREFIX "/x", 0, 0);
            shm_open(getenv("NAME"), 0, 0);
            shm_open(many ? "/one" : "/two", 0, 0);
            shm_open("/foo\0bar", 0, 0);
            sem_open(std::string("/str").c_str(), 0);
            shm_rename("/from", "/to", 0);
            shm_open((const char *)"/cast", 0, 0); shm_open(static_cast<const char *>(array), 0, 0);
            int shm_unlink(const char *); mqd_t mq_open(char const *name, int);"##;
    let expected = [
        "5 shm_open /myshm",
        "6 shm_open /defined",
        "6 shm_unlink /array",
        "7 shm_open ?",
        "8 shm_open ?",
        "9 shm_open ?",
        "10 shm_open /one|/two",
        "11 shm_open /foo",
        "12 sem_open /str",
        "13 shm_rename /from",
        "13 shm_rename /to",
        "14 shm_open /cast",
        "14 shm_open /array",
    ];
    assert_eq!(found(Language::C, source), expected);
}

#[test]
fn rust() {
    let source = r#"const NAME: &CStr = c"/const";
            fn shm_open(name: *const c_char) {}
            libc::shm_open(c"/c".as_ptr(), 0, 0); libc::shm_unlink(b"/b\0".as_ptr().cast());
            rustix::shm::open("/rustix", flags, mode); File::open("/no");
            shm_open(&*format!("/x-{}", 1), 0, 0);
            shm_unlink(NAME.as_ptr());
            sem_open(CString::new("/cstring").unwrap().as_ptr(), 0);"#;
    let expected = [
        "3 shm_open /c",
        "3 shm_unlink /b",
        "4 open /rustix",
        "5 shm_open ?",
        "6 shm_unlink /const",
        "7 sem_open /cstring",
    ];
    assert_eq!(found(Language::Rust, source), expected);
}

/// What is no program comes to an end, and a constant that is given one literal often has one.
#[test]
fn texts_that_are_no_programs() {
    assert_eq!(found(Language::C, &"shm_open(".repeat(6_000)), [""; 0]);
    assert_eq!(found(Language::C, &"\"".repeat(20_001)), [""; 0]);
    let defined = "#define N \"/n\"\n".repeat(2000) + "shm_open(N, 0, 0);";
    assert_eq!(found(Language::C, &defined), ["2001 shm_open /n"]);
}

#[test]
fn other_names_of_functions() {
    let python = "from multiprocessing.shared_memory import SharedMemory as SM\nSM('a')\n\
                      import posix_ipc as p\np.Semaphore('/s')";
    let expected = ["2 SM /a", "4 Semaphore /s"];
    assert_eq!(found(Language::Python, python), expected);
    let rust = "use libc::shm_open as open_it; use rustix::shm as s;\n\
                    open_it(c\"/c\".as_ptr(), 0, 0); s::open(\"/r\", f, m);";
    let expected = ["2 open_it /c", "2 open /r"];
    assert_eq!(found(Language::Rust, rust), expected);
}

/// multiprocessing puts a slash before every name.
#[test]
fn python() {
    let source = r#"from multiprocessing.shared_memory import SharedMemory, ShareableList
            N = "const"
            SharedMemory(name="one", create=True, size=10)
            SharedMemory(create=True, size=10); SharedMemory(None, True, 4)
            SharedMemory("two"); SharedMemory(name=N)
            SharedMemory(name=f"psm_{os.getpid()}"); SharedMemory("a" * 3)
            ShareableList([1, 2], name="list")
            _posixshmem.shm_open("/raw", os.O_RDWR, mode=0o600)
            threading.Semaphore("no")"#;
    let expected = [
        "3 SharedMemory /one",
        "5 SharedMemory /two",
        "5 SharedMemory /const",
        "6 SharedMemory ?",
        "6 SharedMemory ?",
        "7 ShareableList /list",
        "8 shm_open /raw",
    ];
    assert_eq!(found(Language::Python, source), expected);
}

#[test]
fn python_posix_ipc() {
    let source = "import posix_ipc\nposix_ipc.SharedMemory('/m', 0)\nposix_ipc.Semaphore('/s')";
    assert_eq!(
        found(Language::Python, source),
        ["2 SharedMemory /m", "3 Semaphore /s"]
    );
}

#[test]
fn go() {
    let source = r#"const n = "/const"
            C.shm_open(C.CString("/c"), 0, 0); C.sem_open(C.CString(n), 0)
            shm.Open(`raw`, 10)
            C.shm_open(C.CString(fmt.Sprintf("/x%d", 1)), 0, 0)"#;
    assert_eq!(
        found(Language::Go, source),
        [
            "2 shm_open /c",
            "2 sem_open /const",
            "3 Open raw",
            "4 shm_open ?"
        ]
    );
}
