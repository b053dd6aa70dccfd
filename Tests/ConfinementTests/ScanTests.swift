import Foundation
import Testing

/// The real libclamav in a confined worker: whatever it needs it has.
@Suite struct ScanTests {
  private let world: Confined

  init() throws { world = try Confined() }

  /// Messages and files of many formats, made by Python's own library; those named "bad…" hold the threat.
  private static let recipe = """
    import base64, binascii, bz2, email.message, gzip, io, lzma, os, sys, tarfile, zipfile, zlib
    folder, threat = sys.argv[1], sys.argv[2].encode()
    def write(name, octets): open(os.path.join(folder, name), 'wb').write(octets)
    def zipped(name, octets):
        out = io.BytesIO()
        with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as archive: archive.writestr(name, octets)
        return out.getvalue()
    def tarred(name, octets):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode='w') as archive:
            entry = tarfile.TarInfo(name); entry.size = len(octets); archive.addfile(entry, io.BytesIO(octets))
        return out.getvalue()
    def mail(name, *parts):
        message = email.message.EmailMessage()
        message['From'], message['To'], message['Subject'] = 'a@a.example', 'b@b.example', 'perch\\u00e9'
        message.set_content('perch\\u00e9 no\\n')
        for kind, file, octets in parts: message.add_attachment(octets, maintype=kind[0], subtype=kind[1], filename=file)
        write(name, b'Received: by localhost\\r\\n' + message.as_bytes())
        return message
    octets, html = ('application', 'octet-stream'), ('text', 'html')
    page = '<html><head><meta charset="%s"><script>var a = unescape("%%41");</script></head><body><a href="http://a.example">' \\
        'http://b.example</a><img src="data:image/png;base64,iVBORw0KGgo="> ' + sys.argv[2] + '</body></html>'
    write('bad.txt', threat); write('bad.gz', gzip.compress(threat)); write('bad.bz2', bz2.compress(threat))
    write('bad.xz', lzma.compress(threat)); write('bad.zip', zipped('a.zip', zipped('a.txt', threat)))
    write('bad.tar', tarred('a.txt', threat)); write('bad.tar.gz', gzip.compress(tarred('a.txt', threat) + os.urandom(1 << 20)))
    write('bad-utf-16.html', (page % 'utf-16').encode('utf-16'))
    for charset in ['utf-7', 'iso-2022-jp', 'gb18030', 'koi8-r', 'windows-1252']: write(f'bad-{charset}.html', (page % charset).encode())
    write('bad-large.bin', bytes(30 << 20) + threat)
    mail('bad-zip.eml', (octets, 'a.zip', zipped('b.zip', zipped('a.txt', threat))))
    mail('bad-html.eml', (html, 'a.html', (page % 'utf-8').encode()))
    mail('bad-many.eml', *[(octets, f'{i}.bin', os.urandom(4000)) for i in range(30)], (octets, 'a.gz', gzip.compress(threat)))
    inner = mail('clean.eml', (octets, 'a.bin', bytes(range(256)) * 40))
    outer = email.message.EmailMessage(); outer['From'] = 'a@a.example'; outer.set_content('x'); outer.add_attachment(inner)
    write('clean-attached.eml', b'Received: by localhost\\r\\n' + outer.as_bytes())
    lines = b''.join(binascii.b2a_uu(threat[i:i + 45]) for i in range(0, len(threat), 45))
    write('bad-uu.eml', b'From: a@a.example\\r\\nSubject: a\\r\\n\\r\\nbegin 644 a.txt\\r\\n'
        + lines.replace(b'\\n', b'\\r\\n') + b'`\\r\\nend\\r\\n')
    stream = zlib.compress(threat * 3)
    write('bad.pdf', b'%PDF-1.4\\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\\n'
        + b'3 0 obj<</Length %d/Filter/FlateDecode>>stream\\n' % len(stream) + stream
        + b'\\nendstream endobj\\ntrailer<</Root 1 0 R>>\\n%%EOF\\n')
    """

  private func samples() throws -> [String] {
    let folder = world.folder + "/samples"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Confined.expect(["python3", "-c", ScanTests.recipe, folder, Confined.threat])
    try Confined.expect(["chmod", "-R", "a+rX", folder])
    // Debian's clamav-testfiles: executables and their packers, installers, OLE, TNEF, CHM, CAB, 7z, ...
    let others = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/share/clamav-testfiles")) ?? []
    let own = try FileManager.default.contentsOfDirectory(atPath: folder)
    return own.sorted().map { "\(folder)/\($0)" } + others.sorted().map { "/usr/share/clamav-testfiles/\($0)" }
  }

  @Test(arguments: Confined.Starter.all)
  func nothingNeededIsRefused(starter: Confined.Starter) throws {
    defer { world.remove() }
    let samples = try samples()
    let free = try world.run(["scan-free"] + samples, as: starter == .root ? .root : .ordinary)
    #expect(free.lines.count == samples.count + 1)
    #expect(free.lines.first == ["loaded", "No viruses detected"])
    let confined = try world.run(["scan"] + samples, build: .deadly, as: starter)
    #expect(confined.lines.last == ["ended", "0"])
    #expect(Array(confined.lines.dropLast()) == free.lines)
    // The same with scratch files instead of the folder's: in memory, and with no memory for them at all.
    for bytes in ["16777216", "0"] {
      let scratch = try world.run(["scan-scratch", bytes] + samples, build: .deadly, as: starter)
      #expect(scratch.lines == confined.lines, "\(bytes) octets")
    }
    let found = confined.lines.filter { $0[0].hasPrefix("bad") && $0[1] == "Ceralacca-Invented.UNOFFICIAL" }
    #expect(found.count == free.lines.count { $0[0].hasPrefix("bad") })
    #expect(confined["clean.eml"] == "- No viruses detected")
    #expect(confined["clean-attached.eml"] == "- No viruses detected")
    // And nothing stays behind in the worker's folder.
    let left = try Confined.expect(["find", "\(world.temporary)/own", "-mindepth", "1"])
    #expect(left == "")
  }
}
