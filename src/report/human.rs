#[derive(Default)]
pub struct Style {
    pub colour: bool,
    pub verbose: bool,
    pub width: usize,
}
pub fn render(r: &super::Report, _s: Style) -> String {
    format!("{} {:?}\n", r.reason.text, r.error)
}
