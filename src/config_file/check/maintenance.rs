//! Windows of maintenance: what makes one, only those who keep them know. And how silences are
//! read.

use super::Walk;
use crate::config::Config;
use crate::maintenance::window::Wanted;

impl Walk<'_> {
    pub(super) fn maintenance(&mut self, config: &Config) {
        let from = &config.maintenance.alertmanager;
        let section = "maintenance.alertmanager";
        self.client(section, &from.client, from.url.as_ref());
        for (i, window) in config.maintenance.windows.iter().enumerate() {
            if let Err(error) = Wanted::read(window) {
                let place = format!("maintenance.windows[{i}]");
                let key = format!("{place}.{}", error.field);
                self.pair(false, &place, &key, error.what);
            }
        }
    }
}
