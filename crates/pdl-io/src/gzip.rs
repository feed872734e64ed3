//! Streams of gzip members (RFC 1952), with zeros after the last one ignored, as `gzip` does:
//! archives on tape and some writers pad with them.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

/// First byte of every gzip member.
const FIRST_BYTE: u8 = 0x1f;

/// Why a stream is refused whose members are whole.
#[derive(Debug, thiserror::Error)]
#[error("other bytes follow its compressed data, which are whole: compress it again")]
pub(crate) struct Followed;

/// Inflates all members of a stream.
pub(crate) struct Members<R> {
    /// `None` after the last member.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub(crate) fn new(source: R) -> Self {
        Self { member: Some(GzDecoder::new(source)) }
    }

    /// The member after the one that has ended.
    fn next(&mut self) -> io::Result<()> {
        let Some(ended) = self.member.take() else { return Ok(()) };
        let mut source = ended.into_inner();
        loop {
            let (zeros, held, next) = match source.fill_buf() {
                Ok(bytes) => {
                    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                    (zeros, bytes.len(), bytes.get(zeros).copied())
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            source.consume(zeros);
            if held == 0 {
                return Ok(());
            }
            match next {
                None => {}
                Some(FIRST_BYTE) => {
                    self.member = Some(GzDecoder::new(source));
                    return Ok(());
                }
                Some(_) => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, Followed));
                }
            }
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(bytes)?;
            if count > 0 || bytes.is_empty() {
                return Ok(count);
            }
            self.next()?;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn plain(stream: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        // Few bytes at once, so that zeros reach from one buffer into the next.
        Members::new(io::BufReader::with_capacity(7, stream)).read_to_end(&mut plain).map(|_| plain)
    }

    #[test]
    fn members_are_joined_and_zeros_between_and_behind_them_passed_over() {
        let (one, two) = (member(b"first"), member(b" second"));
        assert_eq!(plain(&[&one[..], &two].concat()).unwrap(), b"first second");
        assert_eq!(plain(&[&one[..], &[0; 700]].concat()).unwrap(), b"first");
        assert_eq!(plain(&[&one[..], &[0; 3], &two, &[0; 9]].concat()).unwrap(), b"first second");
        assert_eq!(plain(&member(b"")).unwrap(), b"");
    }

    #[test]
    fn what_is_cut_short_or_followed_by_other_bytes_is_refused() {
        let one = member(b"some bytes that are told again, told again");
        for length in 0..one.len() {
            assert!(plain(&one[..length]).is_err(), "{length}");
        }
        let followed = plain(&[&one[..], b"rubbish"].concat()).unwrap_err().to_string();
        assert!(followed.contains("other bytes follow"), "{followed}");
    }
}
