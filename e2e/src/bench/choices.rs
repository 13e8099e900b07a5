//! The options of the benchmarks' programs, so that a wrong one is refused before minutes of building.

use std::path::Path;

use anyhow::{Result, bail, ensure};

/// An option that a program takes.
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// As it is written, such as `--trace`.
    pub name: &'static str,
    /// What comes with it.
    pub value: Value,
}

/// What comes with an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    None,
    /// A file that is there.
    File,
    /// A folder that is there.
    Folder,
    /// A whole number of at least 0.
    Number,
    /// Anything.
    Text,
}

/// Shorthand for the tables.
#[must_use]
pub const fn choice(name: &'static str, value: Value) -> Choice {
    Choice { name, value }
}

/// Refuses what a program would refuse. Paths are looked for from the given folder, in which it will run.
pub fn check(choices: &[Choice], words: &[String], folder: &Path) -> Result<()> {
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        let (name, joined) = word
            .split_once('=')
            .map_or((word, None), |(name, value)| (name, Some(value)));
        let Some(choice) = choices.iter().find(|choice| choice.name == name) else {
            let names: Vec<_> = choices.iter().map(|choice| choice.name).collect();
            bail!(
                "{word}: there is no such option; choose from {}",
                names.join(", ")
            );
        };
        if choice.value == Value::None {
            ensure!(joined.is_none(), "{name} takes no value");
            continue;
        }
        match joined.or_else(|| words.next()) {
            Some(value) => choice.value.check(name, value, folder)?,
            None => bail!("{name} needs a value"),
        }
    }
    Ok(())
}

impl Value {
    fn check(self, name: &str, value: &str, folder: &Path) -> Result<()> {
        let path = folder.join(value);
        let shown = path.display();
        match self {
            Self::None | Self::Text => {}
            Self::File => ensure!(path.is_file(), "{name} {value}: there is no file {shown}"),
            Self::Folder => ensure!(path.is_dir(), "{name} {value}: there is no folder {shown}"),
            Self::Number => ensure!(
                value.parse::<u64>().is_ok(),
                "{name} {value}: must be a whole number"
            ),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::bench::{forecast, replay};

    fn checked(choices: &[Choice], words: &[&str]) -> Result<(), String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        check(choices, &words, folder).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_program_would_refuse_is_refused_before_it_is_built() {
        let right = [
            &["--trace", "Cargo.toml", "--step=600", "--counter"][..],
            &["--data", "src"],
            &[],
        ];
        for words in right {
            assert_eq!(checked(forecast::CHOICES, words), Ok(()));
        }
        for (words, told) in [
            (
                &["--quik"][..],
                "--quik: there is no such option; choose from --data",
            ),
            (&["trace.csv"], "trace.csv: there is no such option"),
            (&["--trace"], "--trace needs a value"),
            (
                &["--trace", "nowhere.csv"],
                "--trace nowhere.csv: there is no file",
            ),
            (
                &["--data=Cargo.toml"],
                "--data Cargo.toml: there is no folder",
            ),
            (&["--step", "ten"], "--step ten: must be a whole number"),
            (&["--counter=yes"], "--counter takes no value"),
        ] {
            let refused = checked(forecast::CHOICES, words).unwrap_err();
            assert!(refused.starts_with(told), "{refused}");
        }
    }

    #[test]
    fn the_tables_have_what_the_programs_take() {
        fn known(command: &clap::Command) -> Vec<String> {
            let names = command.get_arguments().filter_map(|known| known.get_long());
            // The harness gives those.
            let names = names.filter(|name| !["seed", "quick", "help", "version"].contains(name));
            let mut names: Vec<String> = names.map(|name| format!("--{name}")).collect();
            names.sort_unstable();
            names
        }
        for (command, choices) in [
            (
                chatbot_trace::bench::forecast::Arguments::command(),
                forecast::CHOICES,
            ),
            (
                chatbot_trace::bench::ahead::Arguments::command(),
                replay::CHOICES,
            ),
        ] {
            let mut listed: Vec<_> = choices.iter().map(|choice| choice.name).collect();
            listed.sort_unstable();
            assert_eq!(known(&command), listed);
            for choice in choices {
                let name = choice.name.trim_start_matches('-');
                let mut arguments = command.get_arguments();
                let found = arguments.find(|known| known.get_long() == Some(name));
                let takes = found.is_some_and(|found| found.get_action().takes_values());
                assert_eq!(takes, choice.value != Value::None, "{name}");
            }
        }
    }
}
