internal import COpenSSL
import Glibc

/// One block of a PEM file (RFC 7468). Its octets are zeroed when it goes: it may be a key.
@safe
final class PEMBlock {
  /// `CERTIFICATE`, `PRIVATE KEY`, …
  let label: String
  /// True when a password protects it: a PKCS#8 encrypted key, or the older form that says so in its header.
  let isEncrypted: Bool
  // Allocated by OpenSSL for us; zeroed and freed in deinit.
  private let start: UnsafeMutablePointer<UInt8>
  private let count: Int

  fileprivate init(label: String, header: String, start: UnsafeMutablePointer<UInt8>, count: Int) {
    self.label = label
    isEncrypted = label == "ENCRYPTED PRIVATE KEY" || header.contains("ENCRYPTED")
    unsafe self.start = start
    self.count = count
  }

  deinit { unsafe ceralacca_openssl_clear_free(start, count) }

  var isPrivateKey: Bool { label.hasSuffix("PRIVATE KEY") }
  var isCertificate: Bool { label == "CERTIFICATE" || label == "X509 CERTIFICATE" }

  var isRevocationList: Bool { label == "X509 CRL" }
  /// A SignedData: the names of RFC 7468 §8, §9 and an older one.
  var isSignedData: Bool { label == "PKCS7" || label == "CMS" || label == "PKCS #7 SIGNED DATA" }

  /// A copy of what is in it; not for keys.
  var octets: [UInt8] { unsafe Array(UnsafeBufferPointer(start: start, count: count)) }

  /// The certificate in it, or nil.
  var certificate: CertificateHandle? {
    unsafe CertificateHandle(der: UnsafeBufferPointer(start: start, count: count))
  }

  /// The private key in it, or nil.
  var key: KeyHandle? {
    KeyMemory.confined {
      var cursor = unsafe UnsafePointer<UInt8>?(start)
      guard let key = unsafe d2i_AutoPrivateKey(nil, &cursor, count) else {
        OpenSSLErrors.clear()
        return nil
      }
      return unsafe KeyHandle(owning: key)
    }
  }
}

/// A PEM file read whole.
struct PEMFile {
  /// Files larger than this hold something else.
  static let maximumBytes = 1 << 20

  /// Why a file could not be read.
  enum Failure: Error {
    /// The system's words.
    case unreadable(String)
    case tooLarge
    /// A block begins and does not end as it should, or is not base64. Counted from 1.
    case malformed(block: Int)
  }

  /// The blocks in order.
  let blocks: [PEMBlock]
  /// Permission bits of the file.
  let mode: UInt32

  init(path: String) throws(Failure) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .unreadable(PEMFile.systemError()) }
    defer { close(descriptor) }
    var status = stat()
    guard unsafe fstat(descriptor, &status) == 0 else { throw .unreadable(PEMFile.systemError()) }
    guard status.st_mode & S_IFMT == S_IFREG || status.st_mode & S_IFMT == S_IFIFO else { throw .unreadable("not a file") }
    mode = status.st_mode & 0o7777
    // One octet more than the file has, so that its end is seen with the first reading; a pipe does not say how long it is.
    let expected = status.st_mode & S_IFMT == S_IFREG ? Int(clamping: status.st_size) : 16_384
    var text = SecretOctets(capacity: min(expected, PEMFile.maximumBytes) + 1)
    while true {
      if text.count == text.capacity {
        guard text.count <= PEMFile.maximumBytes else { throw .tooLarge }
        text = text.grown(to: min(2 * text.capacity, PEMFile.maximumBytes + 1))
      }
      let got = text.read(from: descriptor)
      if got < 0, errno == EINTR { continue }
      guard got >= 0 else { throw .unreadable(PEMFile.systemError()) }
      if got == 0 { break }
    }
    // What is taken out of it may be a key.
    blocks = try KeyMemory.confined { () throws(Failure) in try unsafe PEMFile.parse(UnsafeRawBufferPointer(text.octets)) }
  }

  /// The blocks of a text in memory.
  static func blocks(in text: [UInt8]) throws(Failure) -> [PEMBlock] {
    guard text.count <= Int32.max else { throw .tooLarge }
    let parsed = unsafe text.withUnsafeBytes { memory -> Result<[PEMBlock], Failure> in
      do throws(Failure) { return .success(try unsafe parse(memory)) } catch { return .failure(error) }
    }
    return try parsed.get()
  }

  /// Text outside of the blocks is passed over, as everywhere.
  @unsafe
  private static func parse(_ text: UnsafeRawBufferPointer) throws(Failure) -> [PEMBlock] {
    guard let bio = unsafe BIO_new_mem_buf(text.baseAddress, Int32(text.count)) else { throw .unreadable("out of memory") }
    defer { unsafe BIO_free(bio) }
    var blocks: [PEMBlock] = []
    while true {
      var label: UnsafeMutablePointer<CChar>?
      var header: UnsafeMutablePointer<CChar>?
      var data: UnsafeMutablePointer<UInt8>?
      var count = 0
      ERR_clear_error()
      guard unsafe PEM_read_bio(bio, &label, &header, &data, &count) == 1, let start = unsafe data else {
        let reason = ERR_GET_REASON(ERR_peek_last_error())
        ERR_clear_error()
        if reason == PEM_R_NO_START_LINE { return blocks }
        throw .malformed(block: blocks.count + 1)
      }
      defer {
        unsafe ceralacca_openssl_free(label)
        unsafe ceralacca_openssl_free(header)
      }
      blocks.append(
        unsafe PEMBlock(
          label: label.map { unsafe String(cString: $0) } ?? "", header: header.map { unsafe String(cString: $0) } ?? "",
          start: start, count: count))
    }
  }

  private static func systemError() -> String { unsafe String(cString: strerror(errno)) }
}
