//! The README is true: its commands are run, against a weir that was just built, and must print what it says.

mod support;

use std::process::Command;
use support::process::{Process, Start};

/// Code blocks of a language, each with the `text` block that follows it, if one does.
fn blocks(readme: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut parts = readme.split("\n```");
    parts.next();
    while let (Some(block), Some(_)) = (parts.next(), parts.next()) {
        let (language, code) = block.split_once('\n').expect("a fence ends its line");
        found.push((language.to_string(), code.to_string()));
    }
    let text_after =
        |i: usize| found.get(i + 1).filter(|(language, _)| language == "text").map(|(_, code)| code.clone());
    let shell = found.iter().enumerate().filter(|(_, (language, _))| language == "sh");
    shell.map(|(i, (_, code))| (code.clone(), text_after(i))).collect()
}

#[test]
fn what_the_readme_says_is_what_happens() {
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).expect("the README");
    let blocks = blocks(&readme);
    assert_eq!(blocks[0].0, "make run", "the first block starts weir");
    assert_eq!(blocks[1].0, "make test", "the second block tests it");
    let dir = tempfile::tempdir().expect("a directory");
    let start = Start { meters: Some(format!("{root}/docs/example-meters.yaml").into()), ..Start::default() };
    let weir = Process::start(&dir.path().join("data"), &start);
    let mut ran = 0;
    for (code, expected) in blocks.iter().skip(2) {
        let code =
            code.replace("127.0.0.1:8888", &weir.address).replace("target/release/weir", env!("CARGO_BIN_EXE_weir"));
        let output =
            Command::new("bash").args(["-ec", &code]).env("WEIR_URL", &weir.client.base).output().expect("bash");
        let printed = String::from_utf8_lossy(&output.stdout).trim().to_string();
        assert!(output.status.success(), "{code}\n{}", String::from_utf8_lossy(&output.stderr));
        if let Some(expected) = expected {
            assert_eq!(printed, expected.trim(), "{code}");
        }
        assert!(!printed.is_empty(), "{code} printed nothing");
        ran += 1;
    }
    assert!(ran >= 3, "only {ran} commands were run");
}

#[test]
fn every_setting_is_in_the_settings_page_with_its_default() {
    let root = env!("CARGO_MANIFEST_DIR");
    let page = std::fs::read_to_string(format!("{root}/docs/settings.md")).expect("the page");
    let toml = page.split("```toml\n").nth(1).and_then(|rest| rest.split("\n```").next()).expect("a block of TOML");
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("weir.toml");
    std::fs::write(&file, toml).expect("a file");
    let read = weir::app::Settings::load(Some(&file), std::iter::empty()).unwrap_or_else(|error| panic!("{error}"));
    let (read, default) = (format!("{read:?}"), format!("{:?}", weir::app::Settings::default()));
    assert_eq!(read, default, "the page's values are the defaults");
    let names = default.split([' ', '{', '(']).filter_map(|word| word.strip_suffix(':'));
    for name in names.filter(|name| !["testing", "poison_id_prefix", "poison_stage"].contains(name)) {
        assert!(page.contains(name), "docs/settings.md does not name {name}");
    }
}
