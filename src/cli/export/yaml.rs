//! YAML as snapd reads it: events of a parser made into values by the rules of YAML 1.1 that Go's yaml.v2 has, with lines.

use std::collections::HashMap;
use std::fmt::Write;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// Nodes of a document, what aliases repeat counted each time.
const MAX_NODES: usize = 100_000;
const MAX_DEPTH: usize = 64;

/// A value and the line that it begins on.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// A value.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    /// As Go prints it.
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// A number as it is printed, and Go's type of it.
#[derive(Clone, Debug)]
pub(super) struct Number {
    text: String,
    is_integer: bool,
}

impl Node {
    /// The value of a key, where it is a map.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, node)| node)
    }

    /// The entries of a map; of anything else none.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) => {
                &[]
            }
        }
    }

    /// The elements of a list; of anything else none.
    pub(super) fn elements(&self) -> &[Node] {
        match &self.value {
            Value::List(elements) => elements,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => &[],
        }
    }

    /// The text, where it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::List(_) | Value::Map(_) => {
                None
            }
        }
    }

    /// The texts of a list that has nothing else.
    pub(super) fn texts(&self) -> Option<Vec<&str>> {
        match &self.value {
            Value::List(elements) => elements.iter().map(Node::text).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Map(_) => {
                None
            }
        }
    }
}

impl Value {
    /// Go's `%v`.
    pub(super) fn show(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            Value::Null => out.push_str("<nil>"),
            Value::Bool(answer) => out.push_str(if *answer { "true" } else { "false" }),
            Value::Number(number) => out.push_str(&number.text),
            Value::Text(text) => out.push_str(text),
            Value::List(elements) => {
                let shown: Vec<String> = elements.iter().map(|node| node.value.show()).collect();
                let _ = write!(out, "[{}]", shown.join(" "));
            }
            Value::Map(entries) => {
                let mut shown: Vec<String> = entries
                    .iter()
                    .map(|(key, node)| format!("{key}:{}", node.value.show()))
                    .collect();
                // As Go prints maps.
                shown.sort();
                let _ = write!(out, "map[{}]", shown.join(" "));
            }
        }
    }

    /// Go's `%T` of what snapd makes of it.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "<nil>",
            Value::Bool(_) => "bool",
            Value::Number(Number {
                is_integer: true, ..
            }) => "int64",
            Value::Number(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }
}

/// Reads the first document of a text.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        anchors: HashMap::new(),
        nodes: 0,
    };
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => {
                return Ok(Node {
                    line: 1,
                    value: Value::Null,
                });
            }
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing | Event::DocumentEnd => {}
            event => return reader.node(event, span, 0),
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, saphyr_parser::StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), String> {
        match self.parser.next_event() {
            Some(Ok(next)) => Ok(next),
            Some(Err(cause)) => Err(format!("line {}: {}", cause.marker().line(), cause.info())),
            None => Err("it ends too early".to_owned()),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, String> {
        let line = span.start.line();
        if depth > MAX_DEPTH {
            return Err(format!("line {line}: it is nested too deep"));
        }
        self.count(1, line)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                let value = match is_plain {
                    true => plain(&text),
                    false => Value::Text(text.into_owned()),
                };
                (anchor, value)
            }
            Event::SequenceStart(anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => return self.alias(anchor, line),
            _ => return Err(format!("line {line}: it ends too early")),
        };
        let node = Node { line, value };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn count(&mut self, nodes: usize, line: usize) -> Result<(), String> {
        self.nodes += nodes;
        match self.nodes > MAX_NODES {
            true => Err(format!("line {line}: it is too large")),
            false => Ok(()),
        }
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<Node, String> {
        let found = self.anchors.get(&anchor).cloned();
        let node = found.ok_or_else(|| format!("line {line}: an alias within its own anchor"))?;
        self.count(size(&node), line)?;
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, String> {
        let mut elements = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(elements)),
                (event, span) => elements.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, String> {
        let mut entries: Vec<(String, Node)> = Vec::new();
        loop {
            let key = match self.next()? {
                (Event::MappingEnd, _) => return Ok(Value::Map(entries)),
                (event, span) => self.node(event, span, depth + 1)?,
            };
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            let name = key.value.show();
            if entries.iter().any(|(known, _)| *known == name) {
                return Err(format!("line {}: key {name:?} is there twice", key.line));
            }
            entries.push((name, value));
        }
    }
}

fn size(node: &Node) -> usize {
    let below = |(_, node): &(String, Node)| size(node);
    1 + node.elements().iter().map(size).sum::<usize>()
        + node.entries().iter().map(below).sum::<usize>()
}

/// An unquoted scalar, by YAML 1.1.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::Text(text.to_owned()))
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let minus = if text.starts_with('-') { "-" } else { "" };
    let plain = digits.replace('_', "");
    let integer = match plain.as_bytes() {
        [b'0', b'x' | b'X', ..] => i128::from_str_radix(&plain[2..], 16),
        [b'0', b'b' | b'B', ..] => i128::from_str_radix(&plain[2..], 2),
        [b'0', b'o' | b'O', ..] => i128::from_str_radix(&plain[2..], 8),
        [b'0', _, ..] => i128::from_str_radix(&plain[1..], 8),
        _ => plain.parse(),
    };
    let is_integer = integer.is_ok();
    let text = match integer {
        Ok(number) => number.to_string(),
        Err(_) => plain.parse::<f64>().ok()?.to_string(),
    };
    Some(Value::Number(Number {
        text: format!("{minus}{text}"),
        is_integer,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_those_of_yaml_1_1() {
        let show = |text: &str| {
            let node = parse(text).unwrap();
            format!("{} {}", node.value.type_name(), node.value.show())
        };
        for (text, shown) in [
            ("yes", "bool true"),
            ("'yes'", "string yes"),
            ("Off", "bool false"),
            ("12", "int64 12"),
            ("0x10", "int64 16"),
            ("010", "int64 8"),
            ("-1.50", "float64 -1.5"),
            ("1.2.3", "string 1.2.3"),
            ("~", "<nil> <nil>"),
            ("[a, 12, False, [b]]", "[]interface {} [a 12 false [b]]"),
            ("{b: 1, a: x}", "map[string]interface {} map[a:x b:1]"),
            ("&x [a, b]", "[]interface {} [a b]"),
            ("[&x a, *x]", "[]interface {} [a a]"),
            ("", "<nil> <nil>"),
        ] {
            assert_eq!(show(text), shown, "{text}");
        }
    }

    #[test]
    fn what_would_grow_or_nest_without_end_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x]\n");
        for level in 1..40 {
            let below = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [*a{below}, *a{below}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().contains("too large"));
        assert!(parse(&"[".repeat(1000)).is_err());
        assert!(parse("a: &a [*a]").is_err());
        assert!(parse("a: 1\na: 2").unwrap_err().contains("twice"));
        assert!(parse("a: [").is_err());
    }
}
