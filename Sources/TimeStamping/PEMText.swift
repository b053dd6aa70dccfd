internal import COpenSSL
import Glibc

/// What a PEM file (RFC 7468) holds: certificates, revocation lists, a private key.
struct PEMText {
  private(set) var certificates: [Certificate] = []
  private(set) var lists: [RevocationList] = []
  /// The first private key.
  private(set) var key: PrivateKey?

  /// Files larger than this hold something else.
  private static let maximumBytes = 1 << 20

  /// Reads a file.
  init(path: String, wantsKey: Bool = false) throws(TimeStampError) {
    try self.init(PEMText.read(path), path, wantsKey: wantsKey)
  }

  /// Reads a text; what is outside of its blocks is passed over.
  init(_ text: [UInt8], _ name: String, wantsKey: Bool = false) throws(TimeStampError) {
    guard let bio = unsafe BIO_new(BIO_s_mem()), text.count <= PEMText.maximumBytes,
      unsafe text.isEmpty || BIO_write(bio, text, Int32(text.count)) == Int32(text.count)
    else { throw .badFile(path: name, "larger than 1 MB") }
    defer {
      unsafe BIO_free(bio)
      OpenSSLErrors.clear()
    }
    while true {
      var label: UnsafeMutablePointer<CChar>?
      var header: UnsafeMutablePointer<CChar>?
      var data: UnsafeMutablePointer<UInt8>?
      var count = 0
      OpenSSLErrors.clear()
      guard unsafe PEM_read_bio(bio, &label, &header, &data, &count) == 1, let start = unsafe data else {
        if ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE { return }
        throw .badFile(path: name, "a PEM block is damaged")
      }
      // Allocated for us; it may be a key, so it is zeroed.
      defer {
        unsafe ceralacca_openssl_free(label)
        unsafe ceralacca_openssl_free(header)
        unsafe ceralacca_openssl_clear_free(start, count)
      }
      let kind = unsafe label.map { unsafe String(cString: $0) } ?? ""
      var cursor = unsafe UnsafePointer<UInt8>?(start)
      switch kind {
      case "CERTIFICATE", "X509 CERTIFICATE":
        guard let made = unsafe d2i_X509(nil, &cursor, count) else {
          throw .badFile(path: name, "certificate \(certificates.count + 1) cannot be read")
        }
        certificates.append(unsafe Certificate(owning: made))
      case "X509 CRL": lists.append(try RevocationList(der: unsafe Array(UnsafeBufferPointer(start: start, count: count)), name))
      case _ where wantsKey && key == nil && kind.hasSuffix("PRIVATE KEY"):
        guard let made = unsafe d2i_AutoPrivateKey(nil, &cursor, count) else { throw .badFile(path: name, "the key cannot be read") }
        key = unsafe PrivateKey(owning: made)
      default: break
      }
    }
  }

  private static func read(_ path: String) throws(TimeStampError) -> [UInt8] {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .badFile(path: path, unsafe String(cString: strerror(errno))) }
    defer { close(descriptor) }
    var octets: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while octets.count <= maximumBytes {
      let got = unsafe Glibc.read(descriptor, &buffer, buffer.count)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw .badFile(path: path, unsafe String(cString: strerror(errno))) }
      if got == 0 { break }
      octets += buffer.prefix(got)
    }
    return octets
  }
}

/// A private key. Owns one reference of the EVP_PKEY, given back in deinit; OpenSSL zeroes its numbers with the last one.
@safe
final class PrivateKey: @unchecked Sendable {
  let raw: OpaquePointer
  init(owning raw: OpaquePointer) { unsafe self.raw = raw }
  deinit { unsafe EVP_PKEY_free(raw) }
}
