pub fn render(r: &super::Report) -> String {
    serde_json::to_string_pretty(r).unwrap() + "\n"
}
