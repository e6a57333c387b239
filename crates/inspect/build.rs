//! Compiles `data/catalog` into constants: see `src/catalog`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

#[allow(dead_code, unreachable_pub)] // Shared with the crate, which uses more of it.
#[path = "src/catalog/host.rs"]
mod host;
#[allow(dead_code, unreachable_pub)]
#[path = "src/catalog/parse.rs"]
mod parse;
#[allow(dead_code, unreachable_pub)]
#[path = "src/catalog/prefix.rs"]
mod prefix;
#[allow(dead_code, unreachable_pub)]
#[path = "src/catalog/tables.rs"]
mod tables;

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    println!("cargo::rerun-if-changed=build.rs");
    for shared in ["host", "parse", "prefix", "tables"] {
        println!("cargo::rerun-if-changed=src/catalog/{shared}.rs");
    }
    println!("cargo::rerun-if-changed=../../data/catalog");
    if let Err(problems) = compile(&root.join("../../data/catalog"), &out) {
        for line in problems.lines() {
            println!("cargo::error={line}");
        }
    }
}

fn compile(data: &Path, out: &Path) -> Result<(), String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(data).map_err(|e| format!("{}: {e}", data.display()))? {
        let path = entry.map_err(|e| e.to_string())?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &Path| {
        let name = format!("data/catalog/{}", path.file_name().unwrap_or_default().to_string_lossy());
        fs::read_to_string(path).map(|text| (text, name)).map_err(|e| format!("{}: {e}", path.display()))
    };

    let categories_path = data.join("categories.toml");
    let (text, name) = read(&categories_path)?;
    let categories: toml::Table = text.parse().map_err(|e| format!("{name}: {e}"))?;
    let names: Vec<&str> = categories.keys().map(String::as_str).collect();

    let context = parse::Context {
        categories: &names,
        is_known: &|_| false,
        nearest: |_, _| None,
        is_public_suffix: |name| psl::suffix(name.as_bytes()).is_some_and(|s| s.is_known() && s == name),
    };
    let (mut files, mut problems) = (Vec::new(), Vec::new());
    for path in paths.iter().filter(|path| **path != categories_path) {
        let (text, name) = read(path)?;
        match parse::parse(&text, &name, &context) {
            Ok(file) => files.push(file),
            Err(error) => problems.push(error.to_string()),
        }
    }
    problems.extend(parse::duplicates(&files));
    if !problems.is_empty() {
        return Err(problems.join("\n"));
    }
    let mut draft = tables::Draft::default();
    for file in files {
        draft.add(file);
    }
    write(&draft.build(), &categories, out).map_err(|e| format!("can't write to {}: {e}", out.display()))
}

fn write(built: &tables::Built, categories: &toml::Table, out: &Path) -> io::Result<()> {
    let mut code = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String can't fail.
        let _ = writeln!(code, "{text}");
    };
    line(format_args!("pub(super) static TABLES: Tables = Tables {{"));
    line(format_args!("categories: &["));
    for (name, category) in categories {
        let text = |key| category.get(key).and_then(toml::Value::as_str).unwrap_or_default();
        let (title, help) = (text("title"), text("help"));
        line(format_args!("Category {{ name: {name:?}, title: {title:?}, help: {help:?} }},"));
    }
    line(format_args!("], apps: &["));
    for (name, title, category) in &built.apps {
        let category = categories.keys().nth(*category).map_or("", |name| name);
        line(format_args!("App {{ name: {name:?}, title: {title:?}, category: {category:?} }},"));
    }
    line(format_args!("], text: include_str!(concat!(env!(\"OUT_DIR\"), \"/hosts.txt\")),"));
    line(format_args!("slots: include_bytes!(concat!(env!(\"OUT_DIR\"), \"/slots.bin\")).as_chunks().0,"));
    line(format_args!("longest: {}, alpn: &{:?},", built.longest, built.alpn));
    let prefixes: Vec<_> = built.prefixes.iter().map(|(p, app)| (p.bits, p.length, *app)).collect();
    line(format_args!("prefixes: &{prefixes:?}, addresses: &{:?},", built.addresses));
    line(format_args!("}};"));
    fs::write(out.join("catalog.rs"), code)?;
    fs::write(out.join("hosts.txt"), &built.text)?;
    fs::write(out.join("slots.bin"), built.slots.as_flattened())
}
