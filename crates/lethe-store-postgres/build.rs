//! `sqlx::migrate!` reads the folder at compile time; cargo must look there for new files.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
