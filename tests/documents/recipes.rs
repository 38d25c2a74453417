//! Recipes for other programs: jobs of GitHub and GitLab, lines of a crontab, commands of Nagios and Icinga.
//! What those programs would run is run.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use crate::blocks::{BASH, Fault, exit_code, script};
use crate::markdown::Block;
use crate::world::World;

/// The shell of cron and Nagios.
const SH: &[&str] = &["/bin/sh", "-c"];

/// Runs the commands of a CI job: `run` and `script`.
pub(crate) fn yaml(world: &mut World, block: &Block) -> Result<(), Fault> {
    let text = block.text();
    let events: Result<Vec<_>, _> = Parser::new_from_str(&text).collect();
    let events = events.map_err(|error| (error.marker().line() - 1, error.to_string()))?;
    let mut events = events.into_iter();
    let mut commands = Vec::new();
    while collect(&mut events, false, &mut commands) {}
    if commands.is_empty() && text.contains("msnp9-conntype") {
        return Err((0, "no 'run' and no 'script' is in it".to_owned()));
    }
    for (line, command) in commands {
        script(world, BASH, &command, exit_code(block))
            .map_err(|(more, fault)| (line + more, fault))?;
    }
    Ok(())
}

/// Collects the commands of the next node, each with its line; false where something ends. The lines of
/// a `script` are one script.
fn collect<'a>(
    events: &mut impl Iterator<Item = (Event<'a>, Span)>,
    is_command: bool,
    commands: &mut Vec<(usize, String)>,
) -> bool {
    let Some((event, span)) = events.next() else {
        return false;
    };
    match event {
        Event::Scalar(text, style, ..) if is_command => {
            let is_block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
            commands.push((
                span.start.line() - 1 + usize::from(is_block),
                text.into_owned(),
            ));
        }
        Event::SequenceStart(..) => {
            let mut lines = Vec::new();
            while collect(events, is_command, &mut lines) {}
            if is_command {
                let text: Vec<String> = lines.iter().map(|(_, text)| text.clone()).collect();
                lines = vec![(lines.first().map_or(0, |(line, _)| *line), text.join("\n"))];
            }
            commands.extend(lines);
        }
        Event::MappingStart(..) => {
            while let Some((Event::Scalar(key, ..), _)) = events.next() {
                collect(events, matches!(&*key, "run" | "script"), commands);
            }
        }
        Event::SequenceEnd | Event::MappingEnd => return false,
        _ => {}
    }
    true
}

/// Runs the lines of a crontab as cron does: by `/bin/sh`, up to a `%` without a backslash.
pub(crate) fn cron(world: &mut World, block: &Block) -> Result<(), Fault> {
    let mut variables = "PATH=/usr/bin:/bin\n".to_owned();
    for (number, line) in block.lines.iter().enumerate() {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        match (line.split_once('='), fields.as_slice()) {
            (Some((name, value)), _) if !name.contains(' ') => {
                variables.push_str(&format!("export {name}='{value}'\n"));
            }
            (_, [.., command]) if fields.len() == 6 => {
                let marked = command.replace("\\%", "\0");
                let command = marked.split('%').next().unwrap_or_default();
                let command = format!("{variables}{}", command.replace('\0', "%"));
                script(world, SH, &command, exit_code(block))
                    .map_err(|(_, fault)| (number, fault))?;
            }
            _ if line.is_empty() || line.starts_with('#') => {}
            _ => return Err((number, "neither a variable nor a job".to_owned())),
        }
    }
    Ok(())
}

/// Runs the command of a Nagios command definition, with the arguments of the service.
pub(crate) fn nagios(world: &mut World, block: &Block) -> Result<(), Fault> {
    let value = |name: &str| {
        let mut lines = block.lines.iter().enumerate();
        let found =
            lines.find_map(|(number, line)| Some((number, line.trim().strip_prefix(name)?.trim())));
        found.ok_or_else(|| (0, format!("no {name}")))
    };
    let (number, command) = value("command_line ")?;
    let (_, check) = value("check_command ")?;
    let mut command = command.replace("$HOSTADDRESS$", "ms.example.net");
    for (index, argument) in check.split('!').enumerate().skip(1) {
        command = command.replace(&format!("$ARG{index}$"), argument);
    }
    if command.contains('$') {
        return Err((number, format!("a macro without a value: {command}")));
    }
    script(world, SH, &command, exit_code(block)).map_err(|(_, fault)| (number, fault))
}

/// Runs an Icinga command: the quoted words of `command` and `arguments`, with values for its macros.
pub(crate) fn icinga(world: &mut World, block: &Block) -> Result<(), Fault> {
    let mut script_text = String::new();
    for line in &block.lines {
        let words: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        match line.split_whitespace().next() {
            Some("command" | "arguments") => script_text += &format!("{} ", words.join(" ")),
            Some(word) => {
                if let Some(name) = word.strip_prefix("env.") {
                    script_text = format!("export {name}={}\n{script_text}", words.join(" "));
                }
            }
            None => {}
        }
    }
    let macros = [
        ("$address$", "ms.example.net"),
        ("$msnp9_user$", "me@example.net"),
        ("$msnp9_expect$", "IP-Restrict-NAT"),
    ];
    for (name, value) in macros {
        script_text = script_text.replace(name, value);
    }
    script(world, SH, &script_text, exit_code(block))
}
