//! What a store answers in XML: a page of a listing, or an error. Bounded before it comes here.

use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};

/// Deepest nesting that is read.
const DEPTH_MAX: usize = 16;

/// One page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// How the next page is asked for.
    pub(crate) next: Option<String>,
}

/// What a listing tells of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: String,
}

/// What an error tells besides its text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Its code, such as `NoSuchBucket`.
    pub(crate) code: String,
    /// The region that the bucket is in, if it says so.
    pub(crate) region: Option<String>,
}

/// Not what was to be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Reads a page of `ListObjectsV2`.
pub(crate) fn page(xml: &[u8]) -> Result<Page, Malformed> {
    let mut page = Page::default();
    let mut entry = Entry::default();
    let (mut is_encoded, mut is_cut, mut is_listing) = (false, false, false);
    elements(xml, |path, text| {
        match path {
            ["ListBucketResult"] => is_listing = true,
            ["ListBucketResult", "EncodingType"] => is_encoded = text == "url",
            ["ListBucketResult", "IsTruncated"] => is_cut = text == "true",
            ["ListBucketResult", "NextContinuationToken"] => page.next = Some(text.to_owned()),
            ["ListBucketResult", "Contents", "Key"] => text.clone_into(&mut entry.key),
            ["ListBucketResult", "Contents", "ETag"] => text.clone_into(&mut entry.etag),
            ["ListBucketResult", "Contents", "Size"] => {
                entry.size = text.parse().map_err(|_| Malformed)?;
            }
            ["ListBucketResult", "Contents"] => page.entries.push(std::mem::take(&mut entry)),
            _ => {}
        }
        Ok(())
    })?;
    if !is_listing || is_cut != page.next.is_some() {
        return Err(Malformed);
    }
    if is_encoded {
        for entry in &mut page.entries {
            entry.key = decoded(&entry.key).ok_or(Malformed)?;
        }
    }
    Ok(page)
}

/// Reads the body of an error.
pub(crate) fn problem(xml: &[u8]) -> Result<Problem, Malformed> {
    let mut problem = Problem::default();
    elements(xml, |path, text| {
        match path {
            ["Error", "Code"] => text.clone_into(&mut problem.code),
            ["Error", "Region"] => problem.region = Some(text.to_owned()),
            _ => {}
        }
        Ok(())
    })?;
    if problem.code.is_empty() {
        return Err(Malformed);
    }
    Ok(problem)
}

/// Shows the end of each element: the names from the root to it, and the text in it.
fn elements(
    xml: &[u8],
    mut see: impl FnMut(&[&str], &str) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = Reader::from_str(std::str::from_utf8(xml).map_err(|_| Malformed)?);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        match reader.read_event().map_err(|_| Malformed)? {
            Event::Start(start) => {
                if path.len() == DEPTH_MAX {
                    return Err(Malformed);
                }
                path.push(start.local_name().into_inner().to_owned());
                text.clear();
            }
            Event::End(_) => {
                let names: Vec<&str> = path.iter().map(String::as_str).collect();
                see(&names, &text)?;
                path.pop();
                text.clear();
            }
            Event::Empty(empty) => {
                let mut names: Vec<&str> = path.iter().map(String::as_str).collect();
                names.push(empty.local_name().into_inner());
                see(&names, "")?;
            }
            Event::Text(more) => text.push_str(&more.xml10_content()),
            Event::CData(more) => text.push_str(&more.xml10_content()),
            Event::GeneralRef(reference) => {
                match reference.resolve_char_ref().map_err(|_| Malformed)? {
                    Some(character) => text.push(character),
                    None => text
                        .push_str(resolve_xml_entity(&reference.xml10_content()).ok_or(Malformed)?),
                }
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof | Event::DocType(_) => return Err(Malformed),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
        }
    }
}

/// A key as it was before it was encoded for a URL.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                u8::from_str_radix(digits, 16).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
        <ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>
        <EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>
        <NextContinuationToken>a&amp;b</NextContinuationToken><Prefix/>
        <Contents><Key>a/x+y%2Bz%C3%A9.csv</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>
        <ETag>&quot;0f&#49;&quot;</ETag><Size>12</Size><Owner><ID>o</ID></Owner></Contents>
        </ListBucketResult>"#;

    #[test]
    fn pages_are_read() {
        let entry = Entry {
            key: "a/x y+zé.csv".to_owned(),
            size: 12,
            etag: "\"0f1\"".to_owned(),
        };
        let expected = Page {
            entries: vec![entry],
            next: Some("a&b".to_owned()),
        };
        assert_eq!(page(PAGE.as_bytes()), Ok(expected));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        let deep = "<a>".repeat(100) + &"</a>".repeat(100);
        let malformed = [
            "",
            "no XML",
            "<html><body>welcome</body></html>",
            "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
            "<ListBucketResult><Contents><Key>a</Key>",
            "<ListBucketResult><Contents><Size>-1</Size></Contents></ListBucketResult>",
            "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%f</Key></Contents></ListBucketResult>",
            "<!DOCTYPE x [<!ENTITY e \"e\">]><ListBucketResult><A>&e;</A></ListBucketResult>",
            &deep,
        ];
        for text in malformed {
            assert_eq!(page(text.as_bytes()), Err(Malformed), "{text}");
        }
        assert_eq!(
            page(b"<ListBucketResult>\xff</ListBucketResult>"),
            Err(Malformed)
        );
    }

    #[test]
    fn errors_are_told_by_their_codes() {
        let told = problem(
            b"<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-1</Region></Error>",
        );
        let expected = Problem {
            code: "AuthorizationHeaderMalformed".to_owned(),
            region: Some("eu-west-1".to_owned()),
        };
        assert_eq!(told, Ok(expected));
        assert_eq!(problem(b"Client sent an HTTP request"), Err(Malformed));
    }
}
