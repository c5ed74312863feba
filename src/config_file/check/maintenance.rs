//! Windows of maintenance: what makes one, only those who keep them know.

use super::Walk;
use crate::config::Config;
use crate::maintenance::window::Wanted;

impl Walk<'_> {
    pub(super) fn maintenance(&mut self, config: &Config) {
        for (i, window) in config.maintenance.windows.iter().enumerate() {
            if let Err(error) = Wanted::read(window) {
                let place = format!("maintenance.windows[{i}]");
                let key = format!("{place}.{}", error.field);
                self.pair(false, &place, &key, error.what);
            }
        }
    }
}
