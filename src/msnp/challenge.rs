//! The answer to a server's `CHL`, MSNP6 to MSNP10.

use std::fmt::Write as _;

use md5::{Digest, Md5};

/// The product name and code that clients of the time shipped with.
pub const PRODUCT: (&str, &str) = ("msmsgs@msnmsgr.com", "Q1P7W2E4J9R8U3S5");

/// Every pair that is known; a server accepts any of them.
pub const PRODUCTS: [(&str, &str); 2] = [PRODUCT, ("PROD0038W!61ZTF9", "VT6PX?UQTM4WM%YR")];

/// Lower-case hex MD5 of the challenge and the product's code, 32 characters
/// (hypothetic.org, notification/pings_challenges).
#[must_use]
pub fn answer(challenge: &str, code: &str) -> String {
    let digest = Md5::new()
        .chain_update(challenge)
        .chain_update(code)
        .finalize();
    digest
        .iter()
        .fold(String::with_capacity(32), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_known_vectors_hold() {
        let challenge = "15570131571988941333";
        assert_eq!(
            answer(challenge, PRODUCTS[0].1),
            "8f2f5a91b72102cd28355e9fc9000d6e"
        );
        assert_eq!(
            answer(challenge, PRODUCTS[1].1),
            "ca90e6a7c94a14aae7b3ae0f6018433e"
        );
        assert_eq!(
            answer("12345678901234567890", PRODUCT.1),
            "8ba1bb9d6dbf624fee31a2053af5fdd0"
        );
    }
}
