//! The answer to a server's `CHL`, MSNP6 to MSNP10.

use md5::{Digest, Md5};

/// The product name and code that the official client shipped with.
pub const PRODUCT: (&str, &str) = ("msmsgs@msnmsgr.com", "Q1P7W2E4J9R8U3S5");

/// Every known pair. More product names exist than were ever listed; the answer of an unknown one
/// cannot be checked.
pub const PRODUCTS: [(&str, &str); 3] = [
    PRODUCT,
    ("PROD0038W!61ZTF9", "VT6PX?UQTM4WM%YR"),
    ("PROD0061VRRZH@4F", "JXQ6J@TUOGYV@N0M"), // aMSN
];

/// Whether a client's answer to a challenge may be right: its product is unknown, or it is right.
#[must_use]
pub fn is_plausible(challenge: &str, product: &str, given: &[u8]) -> bool {
    let known = PRODUCTS.iter().find(|(name, _)| *name == product);
    known.is_none_or(|(_, code)| answer(challenge, code).as_bytes() == given)
}

/// Lower-case hex MD5 of the challenge and the product's code, 32 characters
/// (hypothetic.org, notification/pings_challenges).
#[must_use]
pub fn answer(challenge: &str, code: &str) -> String {
    let digest = Md5::new().chain_update(challenge).chain_update(code);
    format!("{:032x}", u128::from_be_bytes(digest.finalize().into()))
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
        assert_eq!(
            answer("18985791026544964319", PRODUCTS[2].1),
            "dc50518c8153d03129972608651a1692"
        );
    }

    #[test]
    fn only_a_wrong_answer_of_a_known_product_is_refused() {
        let (challenge, amsn) = ("18985791026544964319", "PROD0061VRRZH@4F");
        let right = b"dc50518c8153d03129972608651a1692";
        assert!(is_plausible(challenge, amsn, right));
        assert!(!is_plausible(challenge, amsn, &[b'0'; 32]));
        assert!(!is_plausible(challenge, PRODUCT.0, right));
        assert!(is_plausible(challenge, "PROD9999", &[b'0'; 32]));
    }
}
