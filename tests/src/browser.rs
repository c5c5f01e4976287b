//! As much of a browser as the pages of the provider need: cookies, redirects, and forms without script.

use std::{
    fs,
    io::{Error, Result},
    process::Command,
};

use crate::{peers::succeed, server::header};

/// Most pages on one way.
const STEPS_MAX: usize = 20;

/// A browser with its cookies.
#[derive(Debug)]
pub struct Browser {
    folder: tempfile::TempDir,
}

/// Where a way ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Led to this address of somebody else.
    Away(String),
    /// At this page, which has no form that could be filled in.
    Page(String),
}

impl End {
    /// The address of somebody else, if the way led there.
    pub fn away(self) -> Option<String> {
        match self {
            Self::Away(url) => Some(url),
            Self::Page(_) => None,
        }
    }

    /// The page, if the way ended at one.
    pub fn page(self) -> Option<String> {
        match self {
            Self::Page(page) => Some(page),
            Self::Away(_) => None,
        }
    }
}

impl Browser {
    /// A browser without cookies.
    ///
    /// # Errors
    /// There is no room for its cookies.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
        })
    }

    /// Goes to a page of a provider at `home` and does all that is asked there as `person`, with these
    /// further fields in forms, until the way leads elsewhere or ends.
    ///
    /// # Errors
    /// No answer, or a way without end.
    pub fn follow(
        &self,
        home: &str,
        url: &str,
        person: &str,
        more: &[(&str, &str)],
    ) -> Result<End> {
        let mut url = url.to_owned();
        let mut form: Option<Vec<(String, String)>> = None;
        for _ in 0..STEPS_MAX {
            if !url.starts_with(home) {
                return Ok(End::Away(url));
            }
            let (headers, page) = self.visit(&url, form.take())?;
            if let Some(next) = header(&headers, "location") {
                url = absolute(home, next);
                continue;
            }
            // A form that wants a code typed in is the end of a way, too.
            let form_there = form_of(&page).filter(|_| !page.contains("op.deviceInputForm"));
            let Some((action, mut fields)) = form_there else {
                return Ok(End::Page(page));
            };
            if page.contains("name=\"login\"") {
                fields.push(("login".to_owned(), person.to_owned()));
                fields.push(("password".to_owned(), "any".to_owned()));
            }
            if page.contains("op.logoutForm") {
                fields.push(("logout".to_owned(), "yes".to_owned()));
            }
            if page.contains("op.deviceConfirmForm") {
                let more = more.iter();
                fields.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
            }
            url = absolute(home, &action);
            form = Some(fields);
        }
        Err(Error::other(format!("{url} leads nowhere")))
    }

    fn visit(&self, url: &str, form: Option<Vec<(String, String)>>) -> Result<(String, String)> {
        let jar = self.folder.path().join("cookies");
        let headers = self.folder.path().join("headers");
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "20"]);
        command.arg("-b").arg(&jar).arg("-c").arg(&jar);
        command.arg("-D").arg(&headers);
        for (name, value) in form.into_iter().flatten() {
            command
                .arg("--data-urlencode")
                .arg(format!("{name}={value}"));
        }
        let page = succeed(command.arg(url))?;
        Ok((fs::read_to_string(headers)?, page))
    }
}

fn absolute(home: &str, place: &str) -> String {
    if place.starts_with('/') {
        format!("{home}{place}")
    } else {
        place.to_owned()
    }
}

/// Where the first form of a page goes, and its hidden fields.
fn form_of(page: &str) -> Option<(String, Vec<(String, String)>)> {
    let (_, rest) = page.split_once("<form")?;
    let (form, _) = rest.split_once("</form>")?;
    let (tag, inside) = form.split_once('>')?;
    let hidden = inside
        .split("<input")
        .filter(|tag| tag.contains("type=\"hidden\""));
    let fields = hidden.filter_map(|tag| Some((attribute(tag, "name")?, attribute(tag, "value")?)));
    Some((attribute(tag, "action")?, fields.collect()))
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    let (value, _) = rest.split_once('"')?;
    Some(value.replace("&amp;", "&"))
}
