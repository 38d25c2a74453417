//! The path as a drawing, from top to bottom: it keeps its letters on a narrow screen.

use super::escape;
use crate::report::Role;
use crate::report::path::Stop;
use crate::report::text::wrap;

/// The units of the drawing: its width, the left end of its text, what is around a stop's text,
/// between two lines, and between two stops.
const WIDTH: usize = 330;
const LEFT: usize = 44;
const AROUND: usize = 14;
const LINE: usize = 19;
const GAP: usize = 30;

/// The columns that fit beside the icon, in the font of the style, 13 units high.
const COLUMNS: usize = 35;

/// The stops as boxes, with an arrow from each to the next.
pub(super) fn draw(stops: &[Stop]) -> String {
    let mut drawing = String::new();
    let mut top = 1;
    // What arrives at the server is no longer what was sent.
    let mut line = "";
    for (at, stop) in stops.iter().enumerate() {
        if at > 0 {
            let (start, end) = (top + 3, top + GAP - 3);
            drawing += &format!(
                "<g class=\"quiet\"><path{line} d=\"M24 {start}V{end}\"/>\
                 <path d=\"M19 {}l5 6 5-6\"/></g>\n",
                end - 6
            );
            top += GAP;
        }
        let tone = match stop.role {
            Role::Rewriter => "odd",
            _ => "quiet",
        };
        if stop.role == Role::Rewriter {
            line = " stroke-dasharray=\"4 4\"";
        }
        let lines: Vec<_> = stop
            .lines
            .iter()
            .flat_map(|line| wrap(line, COLUMNS, "", ""))
            .collect();
        let height = 2 * AROUND + LINE * (lines.len() + 1) - 4;
        drawing += &format!(
            "<g class=\"{tone}\"><rect x=\"1\" y=\"{top}\" width=\"{}\" height=\"{height}\" rx=\"8\"/>\
             <path d=\"M12 {}{}\"/></g>\n<text class=\"name\" x=\"{LEFT}\" y=\"{}\">{}</text>\n",
            WIDTH - 2,
            top + AROUND,
            icon(stop.role),
            top + AROUND + 13,
            stop.name(),
        );
        for (at, line) in lines.iter().enumerate() {
            let y = top + AROUND + 13 + LINE * (at + 1);
            drawing += &format!("<text x=\"{LEFT}\" y=\"{y}\">{}</text>\n", escape(line));
        }
        top += height;
    }
    let said = |stop: &Stop| format!("{}: {}", stop.name(), stop.lines.join(", "));
    let said: Vec<_> = stops.iter().map(said).collect();
    format!(
        "<svg role=\"img\" aria-labelledby=\"path-title path-text\" viewBox=\"0 0 {WIDTH} {}\">\n\
         <title id=\"path-title\">{}</title>\n<desc id=\"path-text\">{}.</desc>\n{drawing}</svg>\n",
        top + 1,
        crate::report::parts::PATH,
        escape(&said.join("; ")),
    )
}

/// A picture of 24 by 24 units, from its upper left corner.
const fn icon(role: Role) -> &'static str {
    match role {
        Role::ThisHost => "m2 3h20v14h-20zm6 18h8m-4-4v4",
        Role::Proxy | Role::Gateway => "m2 8h19l-5-5m6 13h-19l5 5",
        Role::Rewriter => "m12 1l11 11-11 11-11-11zm-5 11h9m-3-3l3 3-3 3",
        Role::Server => "m2 3h20v8h-20zm0 10h20v8h-20zm4-6h3m-3 10h3",
    }
}
