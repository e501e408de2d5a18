//! HTML as text, in which nothing that a person wrote can become a tag.

/// HTML under way. Names come from this program; every attribute's value and every text is escaped.
#[derive(Debug, Default)]
pub(crate) struct Markup(String);

/// Attributes, in the order in which they are written. An empty value of anything but `value` and `alt` says nothing
/// and is left out.
pub(crate) type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Markup {
    /// The text so far.
    pub(crate) fn finish(self) -> String {
        self.0
    }

    /// An element around whatever `content` writes.
    pub(crate) fn element(
        &mut self,
        name: &'static str,
        attributes: Attributes<'_>,
        content: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes);
        content(self);
        self.close(name);
    }

    /// An element around a text.
    pub(crate) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: &str) {
        self.open(name, attributes);
        self.text(text);
        self.close(name);
    }

    /// A text.
    pub(crate) fn text(&mut self, text: &str) {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
    }

    /// A drawing that core made: an SVG document, in which core has escaped all text.
    pub(crate) fn drawing(&mut self, svg: &str) {
        self.0.push_str(svg);
    }

    fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.0.push('<');
        self.0.push_str(name);
        for (attribute, value) in attributes {
            if value.is_empty() && !["value", "alt"].contains(attribute) {
                continue;
            }
            self.0.push(' ');
            self.0.push_str(attribute);
            self.0.push_str("=\"");
            self.text(value);
            self.0.push('"');
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &'static str) {
        // Nothing can stand in these, so they have no end.
        if !["input", "br", "hr"].contains(&name) {
            self.0.push_str("</");
            self.0.push_str(name);
            self.0.push('>');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn elements_stand_inside_each_other() {
        let mut page = Markup::default();
        page.element("p", &[("class", "a"), ("title", "")], |page| {
            page.text("1 < 2");
            page.leaf("b", &[], "x");
            page.leaf("input", &[("value", "")], "");
        });
        assert_eq!(
            page.finish(),
            "<p class=\"a\">1 &lt; 2<b>x</b><input value=\"\"></p>"
        );
    }

    proptest! {
        #[test]
        fn nothing_written_by_a_person_becomes_a_tag(text in ".*") {
            let mut page = Markup::default();
            page.leaf("p", &[("title", &text)], &text);
            let html = page.finish();
            prop_assert_eq!(html.matches('<').count(), 2);
            let quotes = if text.is_empty() { 0 } else { 2 };
            prop_assert_eq!(html.matches('"').count(), quotes);
        }
    }
}
