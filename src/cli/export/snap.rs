//! The slots and plugs of a snap, checked as snapd checks them, in its order and with its words.
//!
//! Rules: `interfaces/builtin/shared_memory.go` and `posix_mq.go` of snapd.

use super::yaml::{Node, Value};

/// `ValidateNoAppArmorRegexp()` without the star, which shared-memory allows.
const RESERVED: &str = "?[]{}^\"\0";
/// The same as a message shows it.
const RESERVED_SHOWN: &str = "?[]{}^\"\\x00";

/// posix-mq's permissions.
const PERMISSIONS: [&str; 5] = ["open", "read", "write", "create", "delete"];

/// What a slot or plug comes to.
#[derive(Debug)]
pub(super) enum Share {
    /// A slot of shared-memory: the names that a plug may have.
    Memory {
        read: Vec<String>,
        write: Vec<String>,
    },
    /// A slot of posix-mq: queues without their slash, and permissions.
    Queues {
        paths: Vec<String>,
        permissions: Vec<String>,
    },
    /// A plug of shared-memory with a tree of its own.
    Private,
    /// A plug that has what some snap's slot gives.
    Wish,
    /// The system's slot for private plugs.
    System,
}

/// A slot or plug of one of the two interfaces.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) side: Side,
    pub(super) interface: Interface,
    /// Its name in the YAML.
    pub(super) name: String,
    /// What plug and slot must have in common.
    pub(super) identifier: String,
    pub(super) share: Share,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Slot,
    Plug,
}

impl Side {
    pub(super) fn word(self) -> &'static str {
        match self {
            Side::Slot => "slot",
            Side::Plug => "plug",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interface {
    SharedMemory,
    PosixMq,
}

impl Interface {
    fn of(word: &str) -> Option<Interface> {
        match word {
            "shared-memory" => Some(Interface::SharedMemory),
            "posix-mq" => Some(Interface::PosixMq),
            _ => None,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Interface::SharedMemory => "shared-memory",
            Interface::PosixMq => "posix-mq",
        }
    }
}

/// What snapd says of a slot or plug.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) line: usize,
    pub(super) side: Side,
    pub(super) name: String,
    pub(super) words: String,
}

/// A snap's name, and its entries.
#[derive(Debug)]
pub(super) struct Snap {
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    pub(super) refusals: Vec<Refusal>,
}

/// A slot or plug before it is checked.
struct Raw<'a> {
    side: Side,
    interface: Interface,
    name: &'a str,
    line: usize,
    attributes: Option<&'a Node>,
}

impl Raw<'_> {
    fn get(&self, key: &str) -> Option<&Node> {
        self.attributes.and_then(|node| node.get(key))
    }
}

/// Reads all slots and plugs of both interfaces.
pub(super) fn read(document: &Node) -> Snap {
    let text = |key| document.get(key).and_then(Node::text).unwrap_or_default();
    let mut raws = declared(document, "slots", Side::Slot);
    raws.extend(declared(document, "plugs", Side::Plug));
    implied(document, &mut raws);
    let mut snap = Snap {
        name: text("name").to_owned(),
        entries: Vec::new(),
        refusals: Vec::new(),
    };
    let is_system = matches!(text("type"), "os" | "snapd");
    for raw in &raws {
        match entry(raw, &raws, &snap.name, is_system) {
            Ok(entry) => snap.entries.push(entry),
            Err(words) => snap.refusals.push(Refusal {
                line: raw.line,
                side: raw.side,
                name: raw.name.to_owned(),
                words,
            }),
        }
    }
    snap
}

/// `slots:` and `plugs:` at the top: a map of attributes, an interface's name, or nothing for the interface of that name.
fn declared<'a>(document: &'a Node, key: &str, side: Side) -> Vec<Raw<'a>> {
    let entries = document.get(key).map(Node::entries).unwrap_or_default();
    let raws = entries.iter().filter_map(|(name, node)| {
        let word = match &node.value {
            Value::Text(word) => word,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                node.get("interface").and_then(Node::text).unwrap_or(name)
            }
        };
        Some(Raw {
            side,
            interface: Interface::of(word)?,
            name,
            line: node.line,
            attributes: Some(node),
        })
    });
    raws.collect()
}

/// Names that an app or a hook has in its list and nobody declares are interfaces.
fn implied<'a>(document: &'a Node, raws: &mut Vec<Raw<'a>>) {
    let owners = ["apps", "hooks"]
        .into_iter()
        .filter_map(|key| document.get(key))
        .flat_map(Node::entries);
    for (_, owner) in owners {
        for (key, side) in [("slots", Side::Slot), ("plugs", Side::Plug)] {
            let names = owner.get(key).map(Node::elements).unwrap_or_default();
            for node in names {
                let Some(name) = node.text() else { continue };
                let is_known = document.get(key).and_then(|all| all.get(name)).is_some()
                    || raws.iter().any(|raw| raw.side == side && raw.name == name);
                if let (Some(interface), false) = (Interface::of(name), is_known) {
                    raws.push(Raw {
                        side,
                        interface,
                        name,
                        line: node.line,
                        attributes: None,
                    });
                }
            }
        }
    }
}

fn entry(raw: &Raw<'_>, all: &[Raw<'_>], snap: &str, is_system: bool) -> Result<Entry, String> {
    let (identifier, share) = match (raw.interface, raw.side) {
        (Interface::SharedMemory, Side::Slot) if is_system => (None, Share::System),
        (Interface::SharedMemory, Side::Slot) => memory_slot(raw)?,
        (Interface::SharedMemory, Side::Plug) => memory_plug(raw, all)?,
        (Interface::PosixMq, Side::Slot) => queue_slot(raw, snap)?,
        (Interface::PosixMq, Side::Plug) => (identifier(raw)?, Share::Wish),
    };
    Ok(Entry {
        side: raw.side,
        interface: raw.interface,
        name: raw.name.to_owned(),
        identifier: identifier.unwrap_or_else(|| raw.name.to_owned()),
        share,
    })
}

/// The attribute that is called as the interface; an empty one is as none.
fn identifier(raw: &Raw<'_>) -> Result<Option<String>, String> {
    let word = raw.interface.word();
    match raw.get(word) {
        None => Ok(None),
        Some(node) => match node.text() {
            Some(text) => Ok(Some(text.to_owned()).filter(|text| !text.is_empty())),
            None => Err(format!(
                "{word} \"{word}\" attribute must be a string, not {}",
                node.value.show()
            )),
        },
    }
}

type Found = (Option<String>, Share);

/// `BeforePrepareSlot()` of shared_memory.go.
fn memory_slot(raw: &Raw<'_>) -> Result<Found, String> {
    let identifier = identifier(raw)?;
    let read = names(raw, "read")?;
    let write = names(raw, "write")?;
    if read.is_empty() && write.is_empty() {
        return Err(
            "shared memory interface requires at least a valid \"read\" or \"write\" attribute"
                .to_owned(),
        );
    }
    read.iter()
        .chain(&write)
        .try_for_each(|path| memory_path(path))?;
    Ok((identifier, Share::Memory { read, write }))
}

fn names(raw: &Raw<'_>, key: &str) -> Result<Vec<String>, String> {
    let Some(node) = raw.get(key) else {
        return Ok(Vec::new());
    };
    let texts = node.texts().ok_or_else(|| {
        format!(
            "shared-memory {} attribute must be a list of strings, not \"{}\"",
            quote(key),
            node.value.show()
        )
    })?;
    Ok(texts.into_iter().map(str::to_owned).collect())
}

/// `validateSharedMemoryPath()`.
fn memory_path(path: &str) -> Result<(), String> {
    let shown = quote(path);
    let invalid = "shared-memory interface path is invalid:";
    if path.is_empty() {
        return Err("shared-memory interface path is empty".to_owned());
    }
    if path.trim() != path {
        return Err(format!(
            "shared-memory interface path has leading or trailing spaces: {shown}"
        ));
    }
    if path.contains(|c| RESERVED.contains(c)) {
        return Err(format!(
            "{invalid} {shown} contains a reserved apparmor char from {RESERVED_SHOWN}"
        ));
    }
    if path.contains("**") {
        return Err(format!(
            "{invalid} {shown} contains ** which is unsupported"
        ));
    }
    if path.contains('/') {
        return Err(format!(
            "shared-memory interface path should not contain '/': {shown}"
        ));
    }
    if path == ".." {
        return Err(format!(
            "shared-memory interface path is not clean: {shown}"
        ));
    }
    Ok(())
}

/// `BeforePreparePlug()` of shared_memory.go.
fn memory_plug(raw: &Raw<'_>, all: &[Raw<'_>]) -> Result<Found, String> {
    let private = match raw.get("private").map(|node| &node.value) {
        None => false,
        Some(Value::Bool(answer)) => *answer,
        Some(other) => {
            return Err(format!(
                "shared-memory \"private\" attribute must be a bool, not {}",
                other.show()
            ));
        }
    };
    let identifier = identifier(raw)?;
    if !private {
        return Ok((identifier, Share::Wish));
    }
    if raw.get("shared-memory").is_some() {
        return Err(
            "shared-memory \"shared-memory\" attribute must not be set together with \"private: true\""
                .to_owned(),
        );
    }
    let others = |side| {
        let mut others = all.iter().filter(|other| {
            other.interface == Interface::SharedMemory && !std::ptr::eq(*other, raw)
        });
        others.any(|other| other.side == side)
    };
    let alone = "shared-memory plug with \"private: true\" set cannot be used with";
    if others(Side::Plug) {
        return Err(format!("{alone} other shared-memory plugs"));
    }
    if others(Side::Slot) {
        return Err(format!("{alone} shared-memory slots"));
    }
    Ok((None, Share::Private))
}

/// `BeforePrepareSlot()` of posix_mq.go.
fn queue_slot(raw: &Raw<'_>, snap: &str) -> Result<Found, String> {
    let identifier = identifier(raw)?;
    let permissions = queue_permissions(raw, snap)?;
    let paths = queue_paths(raw, snap)?;
    Ok((identifier, Share::Queues { paths, permissions }))
}

fn queue_permissions(raw: &Raw<'_>, snap: &str) -> Result<Vec<String>, String> {
    let Some(node) = raw.get("permissions") else {
        return Ok(vec!["read".to_owned(), "write".to_owned()]);
    };
    let words = node
        .texts()
        .ok_or_else(|| wrong_type(snap, "permissions", &node.value))?;
    for word in &words {
        if !PERMISSIONS.contains(word) {
            return Err(format!(
                "posix-mq slot permission \"{word}\" not valid, must be one of [{}]",
                PERMISSIONS.join(" ")
            ));
        }
    }
    Ok(words.into_iter().map(str::to_owned).collect())
}

fn queue_paths(raw: &Raw<'_>, snap: &str) -> Result<Vec<String>, String> {
    let node = raw
        .get("path")
        .ok_or("posix-mq slot requires the \"path\" attribute")?;
    let paths = match node.text() {
        Some(path) => vec![path],
        None => node
            .texts()
            .ok_or_else(|| wrong_type(snap, "path", &node.value))?,
    };
    if paths.is_empty() {
        return Err(
            "posix-mq slot requires at least one value in the \"path\" attribute".to_owned(),
        );
    }
    paths.into_iter().map(queue_path).collect()
}

/// `validatePath()`; the name without its slash.
fn queue_path(path: &str) -> Result<String, String> {
    if path.is_empty() {
        return Err("posix-mq slot \"path\" attribute values cannot be empty".to_owned());
    }
    let name = path.strip_prefix('/').unwrap_or(path);
    // Go's expression counts characters, where the kernel counts bytes.
    if name.contains('/') || !(1..=255).contains(&name.chars().count()) {
        return Err(format!(
            "posix-mq \"path\" attribute must conform to the POSIX message queue name specifications (see \"man mq_overview\"): /{name}"
        ));
    }
    if name.contains(|c| c == '*' || RESERVED.contains(c)) {
        // The quote at the end is snapd's.
        return Err(format!("posix-mq \"path\" attribute is invalid: /{name}\""));
    }
    if name == "." || name == ".." {
        return Err(format!(
            "posix-mq \"path\" attribute is not a clean path: {}",
            quote(&format!("/{name}"))
        ));
    }
    Ok(name.to_owned())
}

fn wrong_type(snap: &str, key: &str, value: &Value) -> String {
    format!(
        "snap {} has interface \"posix-mq\" with invalid value type {} for {} attribute: *[]string",
        quote(snap),
        value.type_name(),
        quote(key)
    )
}

/// Go's `%q`.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0b' => out.push_str("\\v"),
            '\x0c' => out.push_str("\\f"),
            sign if sign.is_ascii_control() => {
                out.push_str(&format!("\\x{:02x}", u32::from(sign)));
            }
            sign if sign.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(sign))),
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}
