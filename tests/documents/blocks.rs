//! Runs the blocks of a document, in order.

use std::io::{Read as _, Write as _};

use serde_json::Value;
use support::lab::Error;

use crate::compare::{self, Ports};
use crate::markdown::{Block, Document};
use crate::world::{PASSWORD, World};
use crate::{prose, recipes};

/// A line of a block, from 0, and what is wrong with it.
pub(crate) type Fault = (usize, String);

/// The shell of a person.
pub(crate) const BASH: &[&str] = &["bash", "-eu", "-o", "pipefail", "-c"];

/// All faults of a document.
pub(crate) fn run(document: &Document, has_lab: bool) -> Vec<String> {
    let blocks = document.blocks.iter().map(Block::with_notes);
    let mut texts = blocks.chain(prose::commands(document).map(|(_, command)| command));
    let needs_lab = !texts.all(|text| is_local(&text));
    let mut world = match World::new(has_lab && needs_lab) {
        Ok(world) => world,
        Err(error) => return vec![format!("{}: {error}", document.name)],
    };
    let mut faults = Vec::new();
    for block in &document.blocks {
        // What is checked afterwards may be the work of an earlier block.
        let can_run = has_lab || block.note("then").is_none() && is_local(&block.with_notes());
        if can_run && block.note("skip").is_none() {
            let fault = run_block(&mut world, block).err();
            faults.extend(fault.map(|(line, fault)| (block.line + line, fault)));
        }
    }
    for (line, command) in prose::commands(document) {
        if has_lab || is_local(&command) {
            let fault = script(&mut world, BASH, &command, 0).err();
            faults.extend(fault.map(|(_, fault)| (line, fault)));
        }
    }
    let faults = faults.into_iter();
    faults
        .map(|(line, fault)| format!("{}:{line}: {fault}", document.name))
        .collect()
}

/// Whether this needs no server and no jq: every command of the tool in it is one that needs none.
fn is_local(text: &str) -> bool {
    let mut commands = text.split("msnp9-conntype").skip(1);
    let without_server = commands.all(|command| {
        let word = command.split_whitespace().next().unwrap_or_default();
        ["classify", "explain", "pair", "demo", "generate", "--help"].contains(&word)
    });
    without_server && !text.contains("| jq")
}

fn run_block(world: &mut World, block: &Block) -> Result<(), Fault> {
    let at_start = |error: Error| (0, error.to_string());
    if let Some(command) = block.note("run") {
        script(world, BASH, command, 0)?;
    }
    if let Some(command) = block.note("prints") {
        let run = world.run(BASH, command).map_err(at_start)?;
        let code = block.note("exit").unwrap_or("0");
        if run.code.to_string() != code {
            return Err((
                0,
                format!("{command}\nexit code {}\n{}", run.code, run.stderr),
            ));
        }
        let mut ports = Ports::new(command, &block.lines);
        if block.language != "json" {
            return compare::text(&mut ports, &block.lines, &run.stdout);
        }
        let page = json(&block.text())?;
        let printed = json(&run.stdout)?;
        return compare::json(&mut ports, &page, &printed, "")
            .map_err(|fault| (0, format!("{command}\n{fault}")));
    }
    world.write("block", block.text()).map_err(at_start)?;
    by_language(world, block)?;
    block
        .note("then")
        .map_or(Ok(()), |command| script(world, BASH, command, 0))
}

fn by_language(world: &mut World, block: &Block) -> Result<(), Fault> {
    match block.language.as_str() {
        "sh" => script(world, BASH, &block.text(), exit_code(block)),
        "console" => console(world, block),
        "yaml" => recipes::yaml(world, block),
        "cron" => recipes::cron(world, block),
        "nagios" => recipes::nagios(world, block),
        "icinga" => recipes::icinga(world, block),
        "text" => Ok(()),
        other => Err((
            0,
            format!("a block of {other:?} needs a comment with 'prints: COMMAND'"),
        )),
    }
}

pub(crate) fn exit_code(block: &Block) -> i32 {
    block
        .note("exit")
        .map_or(0, |code| code.parse().expect("an exit code"))
}

/// A document, or a member of one.
fn json(text: &str) -> Result<Value, Fault> {
    let text = text.trim();
    let whole = if text.starts_with('"') {
        format!("{{{text}}}")
    } else {
        text.to_owned()
    };
    serde_json::from_str(&whole).map_err(|error| (error.line() - 1, format!("{error}:\n{text}")))
}

/// Runs a script, whose last command may be `serve`.
pub(crate) fn script(
    world: &mut World,
    shell: &[&str],
    text: &str,
    code: i32,
) -> Result<(), Fault> {
    // The shell tells the line that ended it.
    let trap = "trap 'echo \"line $LINENO\" >&2' ERR\n";
    let traced = if shell == BASH {
        format!("{trap}{text}")
    } else {
        text.to_owned()
    };
    let at_start = |error: Error| (0, error.to_string());
    if is_server(text) {
        let is_up = |line: &String| line.starts_with("{\"notification\":");
        let listens = |lines: &[String]| lines.iter().any(is_up);
        return world
            .serve(shell, &traced, listens)
            .map(drop)
            .map_err(at_start);
    }
    let run = world.run(shell, &traced).map_err(at_start)?;
    // A shell does not pass on how a command in `<(…)` or `"$(…)"` ended.
    let has_error = run.stderr.lines().any(|line| line.starts_with("error:"));
    if run.code == code && !(has_error && code == 0) {
        return Ok(());
    }
    let line = run
        .stderr
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("line ")?.parse().ok());
    let line = line.map_or(0, |line: usize| line.saturating_sub(2));
    let mut lines = text.lines();
    let what = if shell == BASH {
        lines.nth(line)
    } else {
        lines.last()
    }
    .unwrap_or(text);
    Err((
        line,
        format!(
            "{what}\nexit code {}\n{}{}",
            run.code, run.stdout, run.stderr
        ),
    ))
}

/// Whether the last command is a server that stays.
fn is_server(text: &str) -> bool {
    text.contains("msnp9-conntype serve ") && !text.contains("serve --help")
}

/// Commands after `$ `, each with its output.
fn console(world: &mut World, block: &Block) -> Result<(), Fault> {
    let is_command = |line: &&String| line.starts_with("$ ") || line.ends_with('\\');
    let commands = block.lines.iter().filter(is_command);
    let commands: String = commands.map(|line| format!("{line}\n")).collect();
    let mut ports = Ports::new(&commands, &block.lines);
    let codes = block.note("exit").unwrap_or_default().split(' ');
    let mut codes = codes.filter_map(|code| code.parse().ok());
    let mut start = 0;
    while start < block.lines.len() {
        let Some(first) = block.lines[start].strip_prefix("$ ") else {
            return Err((start, "no command begins here".to_owned()));
        };
        let goes_on = |line: &&String| line.ends_with('\\');
        let more = block.lines[start..].iter().take_while(goes_on).count();
        let mut command = vec![first.to_owned()];
        command.extend_from_slice(&block.lines[start + 1..=start + more]);
        let command = command.join("\n");
        let output = start + more + 1;
        let is_prompt = |line: &String| line.starts_with("$ ");
        let end = block.lines[output..].iter().position(is_prompt);
        let end = end.map_or(block.lines.len(), |lines| output + lines);
        let expected = &block.lines[output..end];
        let printed = if is_server(&command) {
            let all = |lines: &[String]| lines.len() == expected.len();
            let printed = world.serve(BASH, &command, all);
            let mut printed = printed.map_err(|error| (start, error.to_string()))?;
            // The log may come before or after stdout; its times sort before a brace.
            printed.sort();
            printed.join("\n")
        } else {
            let prompt = expected
                .first()
                .filter(|line| line.starts_with("Password of"));
            let (code, printed) = on_a_terminal(world, &command, prompt.map(String::as_str));
            if code != codes.next().unwrap_or(0) {
                return Err((start, format!("{command}\nexit code {code}\n{printed}")));
            }
            printed
        };
        // cargo's own output is nobody's business.
        if !command.starts_with("cargo") || !expected.is_empty() {
            compare::text(&mut ports, expected, &printed)
                .map_err(|(line, fault)| (output + line, fault))?;
        }
        start = end;
    }
    Ok(())
}

/// Runs a command as a person does; answers the prompt for the password, if there is one.
fn on_a_terminal(world: &World, command: &str, prompt: Option<&str>) -> (i32, String) {
    let (pty, pts) = pty_process::blocking::open().expect("a terminal");
    pty.resize(pty_process::Size::new(100, 100))
        .expect("a size");
    let (words, mut variables) = world.shell(BASH, command);
    if prompt.is_some() {
        variables.retain(|(name, _)| name != "MSNP9_PASSWORD");
    }
    let command = pty_process::blocking::Command::new(&words[0]).args(&words[1..]);
    let command = command
        .env_clear()
        .envs(variables)
        .current_dir(world.folder());
    let mut child = command.spawn(pts).expect("a shell");
    let (mut pty, mut printed, mut bytes) = (pty, Vec::new(), [0; 4096]);
    let mut asked = prompt;
    // A terminal whose last process has gone says EIO.
    while let Ok(got @ 1..) = pty.read(&mut bytes) {
        printed.extend_from_slice(&bytes[..got]);
        if asked.is_some_and(|prompt| String::from_utf8_lossy(&printed).contains(prompt)) {
            asked = None;
            pty.write_all(format!("{PASSWORD}\n").as_bytes())
                .expect("keys are taken");
        }
    }
    let code = child.wait().expect("it ends").code().unwrap_or(-1);
    (
        code,
        compare::without_colours(&String::from_utf8_lossy(&printed)),
    )
}
