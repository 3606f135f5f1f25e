//! Who may know whom, and words that stand for a mistake. Reads the source; prints (does not fail on) large files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Room → rooms it may use. Every room may use itself.
const MAY_USE: [(&str, &[&str]); 10] = [
    ("domain", &[]),
    ("ports", &["domain"]),
    ("adapters", &["ports", "domain"]),
    ("store", &["ports", "domain"]),
    ("services", &["domain", "ports", "store"]),
    ("pipeline", &["domain"]),
    ("actors", &["ports", "services", "domain", "pipeline"]),
    ("http", &["ports", "services", "domain"]),
    ("cli", &["ports", "services", "domain"]),
    ("app", &["actors", "adapters", "cli", "domain", "http", "pipeline", "ports", "services", "store"]),
];

/// Room → crates it must not name.
const NOT_IN: [(&str, &[&str]); 9] = [
    ("domain", &["tokio", "actix", "actix_web", "actix_rt", "tracing", "rustix", "zstd", "async_trait"]),
    ("ports", &["actix", "actix_web"]),
    ("adapters", &["actix", "actix_web"]),
    ("store", &["actix", "actix_web"]),
    ("services", &["actix", "actix_web"]),
    ("pipeline", &["actix", "actix_web", "tokio"]),
    ("actors", &["actix_web"]),
    ("http", &["actix", "rustix"]),
    ("cli", &["actix", "actix_web"]),
];

/// Crates of one driver, and the only places that may name them.
const ONLY_IN: [(&str, &[&str]); 4] = [
    ("tokio_postgres", &["src/store", "src/adapters/postgres"]),
    ("deadpool_postgres", &["src/store"]),
    ("postgres_types", &["src/store"]),
    ("refinery", &["src/store"]),
];

/// Word, where it is banned (a path's beginning), what to write instead.
const BANNED: [(&str, &str, &str); 9] = [
    ("todo!(", "src/", "build it, or open an issue"),
    ("unimplemented!(", "src/", "build it, or open an issue"),
    ("unwrap_or(0)", "src/domain", "a missing amount is not 0: say what it means"),
    ("unwrap_or(0)", "src/adapters", "a missing amount is not 0: say what it means"),
    ("f64", "src/domain", "Quantity or Decimal"),
    ("f32", "src/domain", "Quantity or Decimal"),
    ("SystemTime::now", "src/adapters", "a Clock, or time as a parameter"),
    ("actix::Supervisor", "src/", "the line's own supervision"),
    ("std::fs", "src/adapters/embedded/log", "the Disk seam"),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("the source is there") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                walk(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    walk(&root.join("src"), &mut paths);
    paths.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root).expect("below the root").to_path_buf();
    paths.iter().map(|path| (relative(path), fs::read_to_string(path).expect("text"))).collect()
}

fn room(path: &Path) -> Option<&str> {
    let second = path.components().nth(1)?.as_os_str().to_str()?;
    (!second.ends_with(".rs")).then_some(second)
}

/// Code without its tests, comments and doc comments: what ships.
fn shipped(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &Path) -> bool {
    let below_tests = path.parent().is_some_and(|parent| parent.ends_with("tests"));
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    below_tests || stem.is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
}

#[test]
fn every_room_uses_only_the_rooms_it_may() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let Some(room) = room(&path) else { continue };
        if is_test_file(&path) {
            continue;
        }
        let (_, may) = MAY_USE.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{room} is no room"));
        let code = shipped(&text);
        for (other, _) in &MAY_USE {
            let names = code.contains(&format!("crate::{other}::")) || code.contains(&format!("crate::{other};"));
            if names && *other != room && !may.contains(other) {
                faults.push(format!("{}: {room} must not use {other}", path.display()));
            }
        }
        for word in NOT_IN.iter().filter(|(name, _)| *name == room).flat_map(|(_, words)| words.iter()) {
            if code.contains(&format!("use {word}::")) || code.contains(&format!(" {word}::")) {
                faults.push(format!("{}: {room} must not use the crate {word}", path.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_drivers_types_stay_in_its_room() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let here = path.to_str().expect("a plain path");
        let code = shipped(&text);
        for (driver, places) in ONLY_IN {
            let named = code.contains(&format!("{driver}::"));
            if named && !is_test_file(&path) && !places.iter().any(|place| here.starts_with(place)) {
                faults.push(format!("{here}: only {places:?} may name {driver}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_banned_word_is_used() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        if is_test_file(&path) {
            continue;
        }
        let code = shipped(&text);
        let here = path.to_str().expect("a plain path");
        for (word, place, instead) in BANNED {
            if here.starts_with(place) && code.contains(word) {
                faults.push(format!("{here}: `{word}`: {instead}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn panics_unwind_in_every_profile_and_no_crate_reads_numbers_through_floats() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("the manifest");
    assert!(!manifest.contains("panic = \"abort\""), "a stage's panic must unwind");
    assert!(!manifest.contains("arbitrary_precision"), "serde_json's arbitrary_precision breaks flattened types");
    assert!(!manifest.contains("serde-float"), "rust_decimal must not go through a float");
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("the manifest");
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        let dependency = line.contains(" = ") && !line.starts_with('#');
        if section.ends_with("dependencies]") && dependency {
            assert!(line.contains("# "), "no reason given: {line}");
        }
    }
}

#[test]
fn large_files_are_printed() {
    let mut large = BTreeMap::new();
    for (path, text) in sources() {
        let lines = text.split("#[cfg(test)]").next().unwrap_or(&text).lines().count();
        if lines > 400 && !is_test_file(&path) {
            large.insert(path, lines);
        }
    }
    for (path, lines) in large {
        println!("{lines} lines: {}", path.display());
    }
}
