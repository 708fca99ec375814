use std::fs::File;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use lethe_core::receipt::{Opening, Receipt};

use super::reading::{self, Found};
use super::report::{Report, Valid};
use crate::cli::Failure;
use crate::cli::output::{Output, json_text, printable};
use crate::node::verification_keys::VerificationKeys;

/// Longest file of keys that is read.
const LONGEST_KEYS: u64 = 1 << 20;

/// `lethe receipt verify`
#[derive(Args)]
pub(in crate::cli) struct Verify {
    /// A receipt as JSON, an answer of the API that holds one or many, or JSON lines of those; -
    /// for standard input.
    file: PathBuf,
    /// The opening of a receipt in FILE, where it does not stand beside it.
    #[arg(long, value_name = "FILE")]
    opening: Option<PathBuf>,
    /// Public keys, PEM, as `lethe keys export` prints them.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Shows all of each receipt, however many there are.
    #[arg(long)]
    verbose: bool,
    /// A development folder: takes the public keys from it.
    #[arg(long, env = "LETHE_DIR")]
    dir: Option<PathBuf>,
}

impl Verify {
    pub(super) fn run(self, output: Output) -> Result<(), Failure> {
        let keys = self.keys()?;
        let openings = self.openings()?;
        let file: Box<dyn Read> = if self.file == Path::new("-") {
            Box::new(stdin())
        } else {
            Box::new(File::open(&self.file).map_err(|error| failure(&self.file, error))?)
        };
        let mut check = Check {
            opened: vec![false; openings.len()],
            keys,
            openings,
            first_failure: None,
            printer: Printer::new(output, self.verbose)?,
        };
        for found in reading::receipts(file) {
            match found {
                Ok(Found::Receipt { receipt, opening }) => check.receipt(&receipt, opening)?,
                Ok(Found::NoReceipt) => check.printer.without += 1,
                Err(error) => check.fail(failure(&self.file, error).message),
            }
        }
        check.finish(&self.file)
    }

    fn keys(&self) -> Result<VerificationKeys, Failure> {
        let path = match (&self.key, &self.dir) {
            (Some(path), _) => path.clone(),
            (None, Some(dir)) => dir.join("pki/verify.pub"),
            (None, None) => {
                let text = "--key FILE is needed, or --dir of a development service";
                return Err(Failure::new(text));
            }
        };
        let mut text = String::new();
        let file = File::open(&path).map_err(|error| failure(&path, error))?;
        let read = file.take(LONGEST_KEYS).read_to_string(&mut text);
        read.map_err(|error| failure(&path, error))?;
        text.parse().map_err(|error| failure(&path, error))
    }

    fn openings(&self) -> Result<Vec<Opening>, Failure> {
        let Some(path) = &self.opening else {
            return Ok(Vec::new());
        };
        let file = File::open(path).map_err(|error| failure(path, error))?;
        let texts = reading::openings(file).map_err(|error| failure(path, error))?;
        let openings = texts.iter().map(|text| Opening::from_json(text));
        let openings = openings.collect::<Result<Vec<_>, _>>();
        let openings = openings.map_err(|error| failure(path, error))?;
        if openings.is_empty() {
            return Err(Failure::new(format!("{} holds no opening", path.display())));
        }
        Ok(openings)
    }
}

fn failure(path: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("{}: {error}", path.display()))
}

struct Check {
    keys: VerificationKeys,
    openings: Vec<Opening>,
    /// For each of `openings`: whether it has opened a receipt of the file.
    opened: Vec<bool>,
    first_failure: Option<String>,
    printer: Printer,
}

impl Check {
    fn receipt(&mut self, receipt: &str, opening: Option<String>) -> Result<(), Failure> {
        let report = match self.verify(receipt, opening) {
            Ok(valid) => Report::Valid(Box::new(valid)),
            Err(why) => {
                self.fail(format!("receipt {}: {why}", self.printer.printed + 1));
                Report::Invalid(why)
            }
        };
        self.printer.print(&report)
    }

    fn verify(&mut self, receipt: &str, opening: Option<String>) -> Result<Valid, String> {
        let text = |error: &dyn std::error::Error| error.to_string();
        let receipt = Receipt::from_json(receipt).map_err(|error| text(&error))?;
        self.keys.verify(&receipt).map_err(|error| text(&error))?;
        let beside = opening.map(|opening| Opening::from_json(&opening).map_err(|e| text(&e)));
        let mut opening = beside.transpose()?;
        if let Some(opening) = &opening {
            receipt.opens_with(opening).map_err(|error| text(&error))?;
        }
        let opens = |opening: &Opening| receipt.opens_with(opening).is_ok();
        if let Some(index) = self.openings.iter().position(opens) {
            self.opened[index] = true;
            // A second copy says the same, or the commitment would differ.
            let given = Opening::from_json(&self.openings[index].to_json());
            opening = opening.or(given.ok());
        }
        Ok(Valid { receipt, opening })
    }

    fn fail(&mut self, why: String) {
        self.first_failure.get_or_insert(why);
    }

    fn finish(mut self, file: &Path) -> Result<(), Failure> {
        if self.printer.printed == 0 {
            self.fail(format!("{} holds no receipt", file.display()));
        }
        if self.opened.contains(&false) {
            self.fail("the opening does not open a valid receipt of the file".into());
        }
        self.printer.finish(self.first_failure.is_none())?;
        match self.first_failure {
            None => Ok(()),
            Some(why) => Err(Failure::new(why)),
        }
    }
}

/// Receipts that are shown whole without `--verbose`.
const SHOWN: usize = 10;

/// Prints report after report, so that any number may come: in JSON the verdict stands last. For people
/// the first few, those that are not valid, and a summary.
struct Printer {
    output: Output,
    verbose: bool,
    printed: usize,
    valid: usize,
    /// The number of answers without a receipt.
    without: usize,
    /// Shows progress on a terminal while no report is printed.
    spinner: ProgressBar,
}

impl Printer {
    fn new(output: Output, verbose: bool) -> Result<Self, Failure> {
        if output == Output::Json {
            write!(stdout(), "{{\"receipts\":[")?;
        }
        let spinner = if stdout().is_terminal() {
            ProgressBar::hidden()
        } else {
            ProgressBar::new_spinner()
        };
        Ok(Self {
            output,
            verbose,
            printed: 0,
            valid: 0,
            without: 0,
            spinner,
        })
    }

    fn print(&mut self, report: &Report) -> Result<(), Failure> {
        self.printed += 1;
        let valid = matches!(report, Report::Valid(_));
        self.valid += usize::from(valid);
        self.spinner.inc(1);
        let comma = if self.printed > 1 { "," } else { "" };
        match self.output {
            Output::Json => write!(stdout(), "{comma}{}", json_text(&report.json())?)?,
            Output::Text if valid && !self.verbose && self.printed > SHOWN => {}
            Output::Text => {
                let text = report.text(self.printed);
                for line in text.lines() {
                    writeln!(stdout(), "{}", printable(line))?;
                }
            }
        }
        Ok(())
    }

    fn finish(self, valid: bool) -> Result<(), Failure> {
        self.spinner.finish_and_clear();
        match self.output {
            Output::Json => writeln!(
                stdout(),
                "],\"without_receipt\":{},\"valid\":{valid}}}",
                self.without
            )?,
            Output::Text => self.summarise()?,
        }
        Ok(stdout().flush()?)
    }

    fn summarise(&self) -> Result<(), Failure> {
        if self.printed > 1 {
            let hidden = self.printed.saturating_sub(SHOWN);
            let more = match hidden > 0 && !self.verbose {
                true => "; --verbose shows all of each",
                false => "",
            };
            writeln!(
                stdout(),
                "{} receipts: {} valid, {} not{more}",
                self.printed,
                self.valid,
                self.printed - self.valid
            )?;
        }
        if self.without > 0 {
            writeln!(
                stdout(),
                "{} without a receipt: refused, or not yet destroyed",
                self.without
            )?;
        }
        Ok(())
    }
}
