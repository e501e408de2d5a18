//! The part of Go's regular expressions that patterns can turn into, matched in linear time: all ways through an
//! expression are followed at once, so none has to be tried after another.

/// All expressions of an ignore file together may have this many instructions.
pub(super) const LARGEST: usize = 1 << 20;

/// An expression, compiled.
#[derive(Debug, Clone)]
pub(super) struct Program {
    instructions: Vec<Instruction>,
    classes: Vec<Class>,
    /// Whether it can match only from the first letter on.
    anchored: bool,
}

#[derive(Debug, Clone, Copy)]
enum Instruction {
    /// Goes on where the letter is this one.
    Letter(char),
    /// Goes on where the letter is in this class.
    Class(usize),
    Assert(Assertion),
    /// Goes on at both.
    Split(usize, usize),
    Jump(usize),
    Match,
}

/// Something that takes no letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assertion {
    Start,
    End,
    /// Whether there is an edge of an ASCII word here.
    Word(bool),
}

#[derive(Debug, Clone, Default)]
struct Class {
    negated: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn has(&self, letter: char) -> bool {
        let found = self
            .ranges
            .iter()
            .any(|&(low, high)| low <= letter && letter <= high);
        found != self.negated
    }

    /// Adds all that `negated` leaves of some ranges.
    fn add(&mut self, ranges: &[(char, char)], negated: bool) {
        if !negated {
            self.ranges.extend_from_slice(ranges);
            return;
        }
        let mut from = Some('\0');
        for &(low, high) in ranges {
            if let Some(start) = from
                && let Some(end) = before(low)
                && start <= end
            {
                self.ranges.push((start, end));
            }
            from = after(high);
        }
        if let Some(start) = from {
            self.ranges.push((start, char::MAX));
        }
    }
}

fn before(letter: char) -> Option<char> {
    u32::from(letter).checked_sub(1).and_then(char::from_u32)
}

fn after(letter: char) -> Option<char> {
    char::from_u32(u32::from(letter) + 1)
}

const DIGIT: &[(char, char)] = &[('0', '9')];
const SPACE: &[(char, char)] = &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')];
const WORD: &[(char, char)] = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// The classes of POSIX, in order of their letters.
fn named(name: &str) -> Option<&'static [(char, char)]> {
    Some(match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => DIGIT,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    })
}

/// What an expression says.
#[derive(Debug, Clone)]
enum Node {
    Letter(char),
    /// By index.
    Class(usize),
    Assert(Assertion),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Repeat {
        what: Box<Node>,
        least: usize,
        most: Option<usize>,
    },
}

/// What to do about an expression that cannot be read.
type Hint = &'static str;

const RANGE: Hint = "The letters of a range stand in their order, as in [a-z].";
const CLASS: Hint = "Between [ and ] there are letters, ranges such as a-z, and classes such as [:digit:].";
const ESCAPE: Hint =
    "Put a \\ only before a letter that would mean something else without it, such as * or [.";
const REPEAT: Hint =
    "Braces repeat what stands before them. Put a \\ before a brace that is meant as it stands.";
const LARGE: Hint = "Name a folder instead of what is in it, or use ** for any number of folders.";

struct Parser<'p> {
    text: &'p str,
    /// How far it is read.
    place: usize,
    /// Where the last `:]` stands, without which there is no class by name.
    last_name: Option<usize>,
    classes: Vec<Class>,
}

impl<'p> Parser<'p> {
    fn rest(&self) -> &'p str {
        self.text.get(self.place..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.place += letter.len_utf8();
        Some(letter)
    }

    fn next_if(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let letter = self.peek().filter(|&letter| wanted(letter))?;
        self.place += letter.len_utf8();
        Some(letter)
    }

    fn eat(&mut self, letter: char) -> bool {
        self.next_if(|next| next == letter).is_some()
    }

    fn choice(&mut self) -> Result<Node, Hint> {
        let first = self.sequence()?;
        if self.peek() != Some('|') {
            return Ok(first);
        }
        let mut branches = vec![first];
        while self.eat('|') {
            branches.push(self.sequence()?);
        }
        Ok(Node::Choice(branches))
    }

    /// Up to a `|`, a `)` or the end.
    fn sequence(&mut self) -> Result<Node, Hint> {
        let mut nodes: Vec<Node> = Vec::new();
        let mut repeated = false;
        while let Some(letter) = self.peek() {
            let quantifier = match letter {
                '|' | ')' => break,
                '*' => {
                    self.next();
                    Some((0, None))
                }
                '?' => {
                    self.next();
                    Some((0, Some(1)))
                }
                '{' => self.counted()?,
                _ => None,
            };
            if let Some((least, most)) = quantifier {
                let what = nodes.pop().filter(|_| !repeated).ok_or(REPEAT)?;
                nodes.push(Node::Repeat {
                    what: Box::new(what),
                    least,
                    most,
                });
                repeated = true;
                continue;
            }
            repeated = false;
            self.next();
            match letter {
                '(' => {
                    let group = self.choice()?;
                    if !self.eat(')') {
                        return Err(CLASS);
                    }
                    nodes.push(group);
                }
                '[' => {
                    let class = self.class()?;
                    nodes.push(self.class_node(class));
                }
                '\\' => self.escape(&mut nodes)?,
                '^' => nodes.push(Node::Assert(Assertion::Start)),
                '$' => nodes.push(Node::Assert(Assertion::End)),
                '.' => {
                    let mut class = Class::default();
                    class.add(&[('\n', '\n')], true);
                    nodes.push(self.class_node(class));
                }
                letter => nodes.push(Node::Letter(letter)),
            }
        }
        Ok(Node::Sequence(nodes))
    }

    fn class_node(&mut self, class: Class) -> Node {
        self.classes.push(class);
        Node::Class(self.classes.len() - 1)
    }

    /// `{2}`, `{2,}`, `{2,4}`; braces around something else are what they are, and are not gone past.
    fn counted(&mut self) -> Result<Option<(usize, Option<usize>)>, Hint> {
        const MOST: usize = 1000;
        let before = self.place;
        let found = self.count();
        match found {
            None => {
                self.place = before;
                Ok(None)
            }
            Some((least, most)) if least > MOST || most.is_some_and(|most| most > MOST || most < least) => {
                Err(REPEAT)
            }
            Some(found) => Ok(Some(found)),
        }
    }

    fn count(&mut self) -> Option<(usize, Option<usize>)> {
        self.next();
        let least = self.number()?;
        let most = if !self.eat(',') {
            Some(least)
        } else if self.peek() == Some('}') {
            None
        } else {
            Some(self.number()?)
        };
        self.eat('}').then_some((least, most))
    }

    fn number(&mut self) -> Option<usize> {
        let rest = self.rest();
        let length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = rest.get(..length)?;
        if digits.is_empty() || (digits.len() > 1 && digits.starts_with('0')) {
            return None;
        }
        self.place += length;
        // What is too large for a number is too large to repeat as well.
        Some(digits.parse().unwrap_or(usize::MAX))
    }

    /// Behind a `\` that stands outside of a class.
    fn escape(&mut self, nodes: &mut Vec<Node>) -> Result<(), Hint> {
        let assertion = match self.peek() {
            Some('A') => Assertion::Start,
            Some('z') => Assertion::End,
            Some('b') => Assertion::Word(true),
            Some('B') => Assertion::Word(false),
            // All up to \E stands for itself.
            Some('Q') => {
                self.next();
                while let Some(letter) = self.next() {
                    if letter == '\\' && self.eat('E') {
                        break;
                    }
                    nodes.push(Node::Letter(letter));
                }
                return Ok(());
            }
            _ => {
                let mut class = Class::default();
                let node = if self.perl_class(&mut class) {
                    self.class_node(class)
                } else {
                    Node::Letter(self.escaped()?)
                };
                nodes.push(node);
                return Ok(());
            }
        };
        self.next();
        nodes.push(Node::Assert(assertion));
        Ok(())
    }

    /// `d`, `s`, `w` and their opposites.
    fn perl_class(&mut self, class: &mut Class) -> bool {
        let (ranges, negated) = match self.peek() {
            Some('d') => (DIGIT, false),
            Some('D') => (DIGIT, true),
            Some('s') => (SPACE, false),
            Some('S') => (SPACE, true),
            Some('w') => (WORD, false),
            Some('W') => (WORD, true),
            _ => return false,
        };
        self.next();
        class.add(ranges, negated);
        true
    }

    /// The letter that an escape stands for.
    fn escaped(&mut self) -> Result<char, Hint> {
        let letter = self.next().ok_or(ESCAPE)?;
        match letter {
            // A digit alone would refer back to a group.
            '1'..='7' if !matches!(self.peek(), Some('0'..='7')) => Err(ESCAPE),
            '0'..='7' => {
                let mut value = letter.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.next_if(|digit| digit.is_digit(8)) else {
                        break;
                    };
                    value = value * 8 + digit.to_digit(8).unwrap_or(0);
                }
                char::from_u32(value).ok_or(ESCAPE)
            }
            'x' => self.hexadecimal(),
            'a' => Ok('\u{7}'),
            'f' => Ok('\u{c}'),
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            'v' => Ok('\u{b}'),
            letter if letter.is_ascii() && !letter.is_ascii_alphanumeric() => Ok(letter),
            _ => Err(ESCAPE),
        }
    }

    fn hexadecimal(&mut self) -> Result<char, Hint> {
        let braced = self.eat('{');
        let mut value = 0;
        let mut digits = 0;
        while digits < 2 || braced {
            if braced && digits > 0 && self.eat('}') {
                break;
            }
            let digit = self.next().and_then(|digit| digit.to_digit(16)).ok_or(ESCAPE)?;
            value = value * 16 + digit;
            if value > u32::from(char::MAX) {
                return Err(ESCAPE);
            }
            digits += 1;
        }
        char::from_u32(value).ok_or(ESCAPE)
    }

    /// Behind a `[`.
    fn class(&mut self) -> Result<Class, Hint> {
        let mut class = Class {
            negated: self.eat('^'),
            ranges: Vec::new(),
        };
        let mut first = true;
        while first || self.peek() != Some(']') {
            first = false;
            if self.named_class(&mut class)? {
                continue;
            }
            if self.peek() == Some('\\') {
                let before = self.place;
                self.next();
                if self.perl_class(&mut class) {
                    continue;
                }
                self.place = before;
            }
            let low = self.class_letter()?;
            let mut high = low;
            let mut ahead = self.rest().chars();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|letter| letter != ']') {
                self.next();
                high = self.class_letter()?;
                if high < low {
                    return Err(RANGE);
                }
            }
            class.ranges.push((low, high));
        }
        self.next();
        Ok(class)
    }

    fn class_letter(&mut self) -> Result<char, Hint> {
        match self.next() {
            None => Err(CLASS),
            Some('\\') => self.escaped(),
            Some(letter) => Ok(letter),
        }
    }

    /// `[:digit:]` and `[:^digit:]` within a class.
    fn named_class(&mut self, class: &mut Class) -> Result<bool, Hint> {
        let Some(rest) = self.rest().strip_prefix("[:") else {
            return Ok(false);
        };
        // Without this look ahead, each of many beginnings would search for an end that there is not.
        let end = self.place + 2;
        if self.last_name.is_none_or(|last| last < end) {
            return Ok(false);
        }
        let (name, _) = rest.split_once(":]").ok_or(CLASS)?;
        let (negated, name) = match name.strip_prefix('^') {
            Some(name) => (true, name),
            None => (false, name),
        };
        class.add(named(name).ok_or(CLASS)?, negated);
        self.place = end + usize::from(negated) + name.len() + 2;
        Ok(true)
    }
}

impl Program {
    /// Compiles an expression; takes from `room` one for each instruction. Else says what to do about it.
    pub(super) fn compile(expression: &str, room: &mut usize) -> Result<Self, Hint> {
        let mut parser = Parser {
            text: expression,
            place: 0,
            last_name: expression.rfind(":]"),
            classes: Vec::new(),
        };
        let node = parser.choice()?;
        if parser.peek().is_some() {
            return Err(CLASS);
        }
        let first = match &node {
            Node::Sequence(nodes) => nodes.first(),
            _ => None,
        };
        let mut program = Self {
            instructions: Vec::new(),
            classes: parser.classes,
            anchored: matches!(first, Some(Node::Assert(Assertion::Start))),
        };
        program.write(&node, room)?;
        program.push(Instruction::Match, room)?;
        Ok(program)
    }

    fn push(&mut self, instruction: Instruction, room: &mut usize) -> Result<usize, Hint> {
        *room = room.checked_sub(1).ok_or(LARGE)?;
        self.instructions.push(instruction);
        Ok(self.instructions.len() - 1)
    }

    fn set(&mut self, place: usize, instruction: Instruction) {
        if let Some(known) = self.instructions.get_mut(place) {
            *known = instruction;
        }
    }

    /// Nodes are nested two deep at most: a folder, repeated.
    fn write(&mut self, node: &Node, room: &mut usize) -> Result<(), Hint> {
        match node {
            Node::Letter(letter) => {
                self.push(Instruction::Letter(*letter), room)?;
            }
            Node::Class(class) => {
                self.push(Instruction::Class(*class), room)?;
            }
            Node::Assert(assertion) => {
                self.push(Instruction::Assert(*assertion), room)?;
            }
            Node::Sequence(nodes) => {
                for node in nodes {
                    self.write(node, room)?;
                }
            }
            Node::Choice(branches) => {
                let mut ends = Vec::new();
                let last = branches.len().saturating_sub(1);
                for (index, branch) in branches.iter().enumerate() {
                    let split = if index < last {
                        Some(self.push(Instruction::Match, room)?)
                    } else {
                        None
                    };
                    self.write(branch, room)?;
                    if let Some(split) = split {
                        ends.push(self.push(Instruction::Match, room)?);
                        let next = self.instructions.len();
                        self.set(split, Instruction::Split(split + 1, next));
                    }
                }
                let end = self.instructions.len();
                for place in ends {
                    self.set(place, Instruction::Jump(end));
                }
            }
            Node::Repeat { what, least, most } => {
                for _ in 0..*least {
                    self.write(what, room)?;
                }
                let mut splits = Vec::new();
                match most {
                    None => {
                        let split = self.push(Instruction::Match, room)?;
                        self.write(what, room)?;
                        self.push(Instruction::Jump(split), room)?;
                        splits.push(split);
                    }
                    Some(most) => {
                        for _ in *least..*most {
                            splits.push(self.push(Instruction::Match, room)?);
                            self.write(what, room)?;
                        }
                    }
                }
                let end = self.instructions.len();
                for split in splits {
                    self.set(split, Instruction::Split(split + 1, end));
                }
            }
        }
        Ok(())
    }

    /// Whether the expression is found in `text`.
    pub(super) fn matches(&self, text: &str) -> bool {
        let mut now = Threads::new(self.instructions.len());
        let mut next = Threads::new(self.instructions.len());
        let mut before = None;
        let mut letters = text.chars();
        loop {
            let here = letters.next();
            if (before.is_none() || !self.anchored) && self.follow(&mut now, 0, before, here) {
                return true;
            }
            let Some(letter) = here else { return false };
            if now.places.is_empty() && self.anchored {
                return false;
            }
            next.clear();
            let following = letters.clone().next();
            for &place in &now.places {
                let goes_on = match self.instructions.get(place) {
                    Some(Instruction::Letter(wanted)) => *wanted == letter,
                    Some(Instruction::Class(class)) => {
                        self.classes.get(*class).is_some_and(|class| class.has(letter))
                    }
                    _ => false,
                };
                if goes_on && self.follow(&mut next, place + 1, Some(letter), following) {
                    return true;
                }
            }
            std::mem::swap(&mut now, &mut next);
            before = Some(letter);
        }
    }

    /// Adds a thread at `place`, and all that it comes to without taking a letter. True where it has matched.
    fn follow(&self, threads: &mut Threads, place: usize, before: Option<char>, here: Option<char>) -> bool {
        let mut open = vec![place];
        while let Some(place) = open.pop() {
            if !threads.enter(place) {
                continue;
            }
            match self.instructions.get(place) {
                Some(Instruction::Match) => return true,
                Some(Instruction::Jump(to)) => open.push(*to),
                Some(Instruction::Split(one, other)) => open.extend([*other, *one]),
                Some(Instruction::Assert(assertion)) if assertion.holds(before, here) => open.push(place + 1),
                Some(Instruction::Letter(_) | Instruction::Class(_)) => threads.places.push(place),
                Some(Instruction::Assert(_)) | None => {}
            }
        }
        false
    }
}

impl Assertion {
    fn holds(self, before: Option<char>, here: Option<char>) -> bool {
        let is_word = |letter: Option<char>| {
            letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        };
        match self {
            Self::Start => before.is_none(),
            Self::End => here.is_none(),
            Self::Word(edge) => (is_word(before) != is_word(here)) == edge,
        }
    }
}

/// The places that are followed at once, each once.
struct Threads {
    places: Vec<usize>,
    /// When each place was last entered.
    entered: Vec<u32>,
    round: u32,
}

impl Threads {
    fn new(count: usize) -> Self {
        Self {
            places: Vec::new(),
            entered: vec![0; count],
            round: 1,
        }
    }

    fn clear(&mut self) {
        self.places.clear();
        self.round += 1;
    }

    fn enter(&mut self, place: usize) -> bool {
        match self.entered.get_mut(place) {
            Some(entered) if *entered != self.round => {
                *entered = self.round;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(expression: &str, text: &str) -> bool {
        Program::compile(expression, &mut 10_000).unwrap().matches(text)
    }

    #[test]
    fn expressions_match_as_go_s_do() {
        for (expression, text, expected) in [
            ("^a[^/]*$", "abc", true),
            ("^a[^/]*$", "a/c", false),
            ("^(.*/)?b$", "a/x/b", true),
            ("^(.*/)?b$", "b", true),
            ("^(.*/)?b$", "a/xb", false),
            ("^.*$", "a\nb", false),
            ("^a{2,3}$", "aaaa", false),
            ("^a{2,}$", "aaaa", true),
            ("^a{0}b$", "b", true),
            ("^a{x}$", "a{x}", true),
            ("^a|b$", "xb", true),
            ("^a|b$", "ax", true),
            ("^{0}a$", "ba", true),
            ("^\\bab\\b$", "ab", true),
            ("^a\\Bb$", "ab", true),
            ("^\\Qa*\\E[b]$", "a*b", true),
            ("^[\\d\\-x]$", "-", true),
            ("^[^\\W]$", "_", true),
            ("^[[:^alpha:]]$", "1", true),
            ("^[[:x]$", ":", true),
            ("^[a\\]]$", "]", true),
            ("^[a-]$", "-", true),
            ("^\\x41\\101\\x{42}\\t$", "AAB\t", true),
            ("^é[^/]$", "éü", true),
        ] {
            assert_eq!(found(expression, text), expected, "{expression} {text}");
        }
    }

    #[test]
    fn what_go_does_not_compile_is_refused() {
        for expression in [
            "^[z-a]$",
            "^\\q$",
            "^\\1$",
            "^\\é$",
            "^a{1001}$",
            "^a{3,2}$",
            "^a*{2}$",
            "^a|{2}$",
            "^[[:no:]]$",
            "^[a",
            "^\\xg0$",
        ] {
            assert!(Program::compile(expression, &mut 10_000).is_err(), "{expression}");
        }
    }

    #[test]
    fn expressions_have_no_more_room_than_they_are_given() {
        let mut room = 3000;
        assert!(Program::compile("^a{1000}$", &mut room).is_ok());
        assert!(Program::compile("^a{1000}$", &mut room).is_ok());
        assert!(Program::compile("^a{1000}$", &mut room).is_err());
    }
}
