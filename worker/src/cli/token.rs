//! `stagewright token`: who may ask this machine's worker from afar.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde_json::json;
use time::OffsetDateTime;

use super::du::Format;
use super::style::{cut, plain};
use super::{Failure, machine, measure, print};
use crate::token::{Scope, Token, TokenError, Tokens, day};

/// Make, list and revoke the tokens by which programs ask a worker from afar
///
/// A worker that serves on the same state folder sees every change at once. What is kept of a token is a hash of it.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
    #[command(visible_alias = "ls")]
    List(List),
    #[command(visible_alias = "rm")]
    Revoke(Revoke),
}

/// Make a token, and print it this once
///
/// The token alone goes to standard output, what is to be known of it to standard error.
#[derive(Debug, clap::Args)]
struct Create {
    /// What to call it, such as the machine that is going to use it
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// What it allows: `plan`, `build`, `push` (together with build) or `admin`, which is all of it; may be given several
    /// times, or as a list with commas
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', default_values = ["plan", "build"])]
    scope: Vec<Scope>,

    /// How long it is good for, such as `30d` or `12h`; for ever where it is left out
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<Duration>,

    #[command(flatten)]
    machine: machine::Arguments,
}

/// List the tokens; none of them can be shown again
#[derive(Debug, clap::Args)]
struct List {
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    machine: machine::Arguments,
}

/// Take tokens away: from now on they open nothing
#[derive(Debug, clap::Args)]
struct Revoke {
    /// Their names or ids
    #[arg(value_name = "NAME|ID", required = true)]
    tokens: Vec<String>,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    match &arguments.command {
        Command::Create(arguments) => create(arguments),
        Command::List(arguments) => list(arguments),
        Command::Revoke(arguments) => revoke(arguments),
    }?;
    Ok(ExitCode::SUCCESS)
}

fn create(arguments: &Create) -> Result<(), Failure> {
    let scopes = arguments.scope.iter().copied().collect();
    let (text, token) = tokens(&arguments.machine)?
        .create(arguments.name.as_deref(), scopes, arguments.expires)
        .map_err(|error| refused(&error))?;
    let until = match &token.expires {
        Some(expires) => format!("until {expires}"),
        None => "until it is revoked".to_owned(),
    };
    let about = format!(
        "token {} ({}) for {}, good {until}; it is not shown again\n",
        plain(&token.name),
        token.id,
        token.scopes
    );
    print(&format!("{text}\n"))?;
    // Where standard error is closed, what was said there is lost, but the token is not.
    _ = std::io::stderr().write_all(about.as_bytes());
    Ok(())
}

fn list(arguments: &List) -> Result<(), Failure> {
    let tokens = tokens(&arguments.machine)?
        .list()
        .map_err(|error| refused(&error))?;
    let now = OffsetDateTime::now_utc();
    print(&match arguments.format {
        Format::Json => format!("{:#}\n", json(&tokens, now)),
        Format::Table => table(&tokens, now),
    })
}

fn revoke(arguments: &Revoke) -> Result<(), Failure> {
    let tokens = tokens(&arguments.machine)?;
    for name in &arguments.tokens {
        let token = tokens.revoke(name).map_err(|error| refused(&error))?;
        print(&format!("revoked {} ({})\n", token.name, token.id))?;
    }
    Ok(())
}

fn tokens(machine: &machine::Arguments) -> Result<Tokens, Failure> {
    Ok(Tokens::of(&machine.place()?))
}

fn json(tokens: &[Token], now: OffsetDateTime) -> serde_json::Value {
    let one = |token: &Token| {
        json!({
            "id": token.id,
            "name": token.name,
            "scopes": token.scopes,
            "created": token.created,
            "expires": token.expires,
            "expired": token.expired(now),
            "lastUsed": token.last_used,
        })
    };
    tokens.iter().map(one).collect()
}

fn table(tokens: &[Token], now: OffsetDateTime) -> String {
    let mut text = format!(
        "{:<8}  {:<18} {:<16} {:<11} {:<10} {}\n",
        "ID", "NAME", "SCOPES", "CREATED", "EXPIRES", "LAST USED"
    );
    for token in tokens {
        let scopes = token.scopes.to_string().replace(", ", ",");
        let expires = match &token.expires {
            Some(_) if token.expired(now) => "is over",
            Some(expires) => day(expires),
            None => "never",
        };
        _ = writeln!(
            text,
            "{:<8}  {:<18} {:<16} {:<11} {:<10} {}",
            token.id,
            cut(&token.name, 18),
            cut(&scopes, 16),
            day(&token.created),
            expires,
            token.last_used.as_deref().unwrap_or("never")
        );
    }
    text
}

fn lifetime(text: &str) -> Result<Duration, String> {
    measure::duration(text)
        .filter(|time| !time.is_zero())
        .ok_or_else(|| "write a time such as 30d, 12h or 90m".to_owned())
}

fn refused(error: &TokenError) -> Failure {
    let failure = |code| Failure::new(code, error.to_string());
    match error {
        TokenError::Io { .. } => failure(Failure::PLACE).hint("name the worker's state folder with --state"),
        TokenError::Broken { .. } | TokenError::NoRandomness => failure(Failure::PLACE),
        TokenError::Name(_) => failure(Failure::USAGE),
        TokenError::Unknown(_) => {
            failure(Failure::WORK).hint("`stagewright token list` lists those there are")
        }
    }
}
