# cargo builds, rebuilds and tests a crate inside the file system.
set -euo pipefail
export CARGO_TARGET_DIR=$PWD/target TMPDIR=$PWD
unset RUSTFLAGS
mkdir -p crate/src
cat > crate/Cargo.toml <<'TOML'
[package]
name = "inside"
version = "0.1.0"
edition = "2021"
[workspace]
TOML
cat > crate/src/lib.rs <<'RUST'
pub fn double(x: u32) -> u32 { 2 * x }
#[test]
fn doubles() { assert_eq!(double(2), 4); }
RUST
cat > crate/src/main.rs <<'RUST'
fn main() { println!("{}", inside::double(21)); }
RUST
cd crate
test "$(cargo run --quiet --offline)" = 42
cargo test --quiet --offline > /dev/null
sed -i 's/2 \* x/x + x/' src/lib.rs
test "$(cargo run --quiet --offline)" = 42
cd ..
rm -rf crate target
