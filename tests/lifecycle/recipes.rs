//! What the recipes of docs/EXPORTS.md and the examples of README.md print is what the program prints.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::sandbox::{User, script};

/// Where the recipes work: directories of a tmpfs, and one that is a container's root.
const SETUP: &str = r#"
    export LC_ALL=C PATH=$(dirname $SHMFS):/usr/sbin:/usr/bin:/sbin:/bin
    umask 022
    mount -t tmpfs -o mode=755 tmpfs /srv || exit 98
    for d in bin lib lib64 sbin usr; do
        [ -e /$d ] && mkdir -p /srv/viewer/$d && mount --rbind /$d /srv/viewer/$d
    done
    mkdir -p /srv/viewer/dev/shm /srv/viewer/proc
    said=$HOME/said; wanted=$HOME/wanted
    same() { cmp -s $said $wanted || fail "$1
The document has:
$(cat $wanted)
but it says:
$(cat $said)"; }
"#;

/// A block of code: its language, and its text.
type Block<'a> = (&'a str, &'a str);

fn blocks(text: &str) -> Vec<Block<'_>> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).collect()
}

/// Writes configurations, and runs commands in one shell, which must print what stands below them.
fn steps(blocks: &[Block<'_>]) -> String {
    let mut steps = String::new();
    for (language, text) in blocks {
        match *language {
            "toml" => {
                let _ = writeln!(steps, "cat > /srv/exports.toml <<'END'\n{text}END");
            }
            "console" => {
                assert!(text.starts_with("$ "), "no command: {text}");
                for step in text[2..].split("\n$ ") {
                    let (command, said) = step.split_once('\n').unwrap_or((step, ""));
                    let said = said.trim_end();
                    let end = if said.is_empty() { "" } else { "\n" };
                    let _ = write!(
                        steps,
                        "cat > $wanted <<'END'\n{said}{end}END\n{{ {command}\n}} > $said 2>&1 < /dev/null\nsame {}\n",
                        quoted(command)
                    );
                }
            }
            other => panic!("nothing runs {other:?}"),
        }
    }
    steps
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Follows what stands under a heading of a document.
#[track_caller]
fn follow(name: &str, heading: &str) {
    let text = document(name);
    let (_, rest) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{name} has no {heading}"));
    let part = rest.split("\n## ").next().unwrap_or(rest);
    let part = part.split("\n### ").next().unwrap_or(part);
    let steps = steps(&blocks(part));
    assert!(steps.contains("shmfs mount"), "nothing is mounted: {steps}");
    let end = "unmounted || fail 'something is left'; no_sockets";
    script(User::Root, &format!("{SETUP}\n{steps}\n{end}\nexit 0"));
}

#[track_caller]
fn recipe(heading: &str) {
    follow("docs/EXPORTS.md", &format!("### {heading}"));
}

#[test]
fn one_object_to_another_container() {
    recipe("One object to another container");
}

#[test]
fn a_private_dev_shm_for_each_job() {
    recipe("A private `/dev/shm` for each job");
}

#[test]
fn a_provider_with_read_only_consumers() {
    recipe("A provider with read-only consumers");
}

#[test]
fn the_example_of_the_readme() {
    follow("README.md", "## Part of the tree for others");
}

/// The one block of the README's `Use` in which something is killed.
#[test]
fn the_readme_kills_the_worker_of_one_mount() {
    let text = document("README.md");
    let blocks = blocks(&text).into_iter();
    let killing: Vec<Block<'_>> = blocks.filter(|(_, text)| text.contains("pkill")).collect();
    assert_eq!(killing.len(), 1, "{killing:?}");
    let steps = steps(&killing);
    let before = "mkdir m other target; mkdir target/release; cp $SHMFS target/release; shmfs mount other; is $? 0
        worker() { workers $(pgrep -xf 'shmfs mount other'); }; spared=$(worker); [ -n \"$spared\" ] || fail 'no worker'";
    let after =
        "exec 7<&-; is \"$(worker)\" $spared; shmfs umount m; is $? 0; shmfs umount other; is $? 0";
    script(
        User::Root,
        &format!("{SETUP}\n{before}\n{steps}\n{after}\nunmounted || fail left\nexit 0"),
    );
}

#[test]
fn there_are_no_others() {
    let text = document("docs/EXPORTS.md");
    let (_, recipes) = text.split_once("\n## Recipes\n").expect("recipes");
    let recipes = recipes.split("\n## ").next().unwrap_or(recipes);
    assert_eq!(recipes.matches("\n### ").count(), 3);
}
