//! Variables that remember which of them were asked for.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::Variables;

/// Other variables, and the names of those that were found in them.
pub(crate) struct Recorded<'v> {
    variables: &'v dyn Variables,
    used: RefCell<BTreeSet<String>>,
}

impl<'v> Recorded<'v> {
    pub(crate) fn new(variables: &'v dyn Variables) -> Self {
        Self {
            variables,
            used: RefCell::default(),
        }
    }

    /// The variables that were asked for and are set.
    pub(crate) fn used(self) -> BTreeSet<String> {
        self.used.into_inner()
    }
}

impl Variables for Recorded<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        self.used.borrow_mut().insert(name.to_owned());
        Some(value)
    }
}
