import CommandSupport
import Testing

@Suite("JSON")
struct JSONTests {
  @Test(
    "Valid texts pass",
    arguments: [
      "{}", "[]", " [ ] ", "null", "true", "false", "0", "-0", "1e5", "1E+5", "-1.25e-3",
      "\"\"", #""\"\\\/\b\f\n\r\tA""#, #"{"a":[1,{"b":null}],"a":2}"#, "[1,2 , 3]\r\n\t",
      #""\ud800""#, "\"\u{7f}é漢😀\"", "123456789012345678901234567890",
    ])
  func valid(text: String) throws {
    _ = try JSONScanner.document(Array(text.utf8).span)
  }

  @Test(
    "Malformed texts are refused",
    arguments: [
      "", " ", "{", "[", "}", "]", "[1,]", "[,1]", "[1 2]", "{,}", #"{"a"}"#, #"{"a":}"#,
      #"{"a":1,}"#, #"{"a":1 "b":2}"#, "{1:2}", #"{"a":1}}"#, "[1]]", "[1}", "01", "-", "+1", "1.",
      ".5", "1e", "1e+", "-01", "0x1", "NaN", "Infinity", "nul", "truE", "nulll", "tru", "'a'",
      "\"", "\"a", #""\x""#, #""\u12""#, #""\u12g4""#, "\"\t\"", "\"\n\"", "\"\u{0}\"", #""\"#,
      "1 2", "//", "[1,", #"{"a":1,"#, #"{"a""#, "\u{feff}1",
    ])
  func malformed(text: String) {
    #expect(throws: JSONError.self) { try JSONScanner.document(Array(text.utf8).span) }
  }

  @Test(
    "Bytes that are not UTF-8 are refused",
    arguments: [[0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22]])
  func invalidUTF8(bytes: [UInt8]) {
    #expect(throws: JSONError.self) { try JSONScanner.document(bytes.span) }
  }

  @Test("Every text cut short is refused")
  func cut() {
    let text = Array(#"{"a":[1.5e3,"x\u00e9\n",{"b":true}],"c":null}"#.utf8)
    for count in text.indices {
      #expect(throws: JSONError.self, "cut at \(count)") {
        try JSONScanner.document(Array(text.prefix(count)).span)
      }
    }
  }

  @Test("512 levels pass, 513 are refused")
  func depth() throws {
    for (opening, closing) in [("[", "]"), (#"{"a":"#, "}")] {
      func nested(_ count: Int) -> [UInt8] {
        let text =
          String(repeating: opening, count: count) + (opening == "[" ? "" : "1")
          + String(repeating: closing, count: count)
        return Array(text.utf8)
      }
      _ = try JSONScanner.document(nested(512).span)
      #expect(throws: JSONError.self) { try JSONScanner.document(nested(513).span) }
      #expect(throws: JSONError.self) { try JSONScanner.document(nested(1_000_000).span) }
    }
  }

  @Test(
    "Escapes are decoded",
    arguments: [
      (#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{c}\n\r\t"), (#""\u0041\u00e9\u6f22""#, "Aé漢"),
      (#""\ud83d\ude00!""#, "😀!"), (#""\u0000""#, "\0"), (#""é😀""#, "é😀"), (#""""#, ""),
    ])
  func decoding(text: String, expected: String) throws {
    let bytes = Array(text.utf8)
    #expect(try JSONText.string(JSONScanner.document(bytes.span), in: bytes.span) == expected)
  }

  @Test(
    "Half a surrogate pair cannot be decoded",
    arguments: [#""\ud83d""#, #""\ude00""#, #""\ud83dx""#, #""\ud83d\u0041""#, #""\ud83d\n12345""#])
  func surrogates(text: String) throws {
    let bytes = Array(text.utf8)
    let value = try JSONScanner.document(bytes.span)
    #expect(throws: JSONError.self) { try JSONText.decode(value, in: bytes.span) }
  }

  /// The examples of RFC 6901 §5, and arrays.
  @Test(
    "Pointers find their values",
    arguments: [
      ("", #"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"e":{"0":7,"x\u0079":9}}"#),
      ("/foo", #"["bar","baz"]"#), ("/foo/0", #""bar""#), ("/foo/1", #""baz""#), ("/", "0"),
      ("/a~1b", "1"), ("/m~0n", "8"), ("/e/0", "7"), ("/e/xy", "9"),
    ])
  func pointers(pointer: String, expected: String) throws {
    let text = Array(
      #"{"foo":["bar","baz"],"":0,"a/b":1,"m~n":8,"e":{"0":7,"x\u0079":9}}"#.utf8)
    let value = try #require(try JSONPointer(pointer).resolve(in: text.span))
    #expect(String(decoding: text[value.range], as: UTF8.self) == expected)
  }

  @Test(
    "Pointers to nothing find nothing",
    arguments: [
      "/x", "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/bar", "/n/a", "/foo/", "/e/f",
    ])
  func missing(pointer: String) throws {
    let text = Array(#"{"foo":["bar","baz"],"n":1,"e":{}}"#.utf8)
    #expect(try JSONPointer(pointer).resolve(in: text.span) == nil)
  }

  @Test("Texts that are no pointers are refused", arguments: ["a", "a/b", "/~", "/~2", "/a~"])
  func badPointers(text: String) {
    #expect(throws: BadArgument.self) { try JSONPointer(text) }
  }

  @Test("Base64 of every length comes back", arguments: [21, 22, 23] as [UInt64])
  func base64(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    for count in 0..<100 {
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
      var text: [UInt8] = []
      Base64.encode(bytes.span, to: &text)
      #expect(text.count == (count + 2) / 3 * 4, "seed \(seed), \(count) bytes")
      #expect(Base64.decode(text) == bytes, "seed \(seed), \(count) bytes")
    }
  }

  /// The vectors of RFC 4648 §10.
  @Test(
    "Base64 is the standard's",
    arguments: [
      ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="),
      ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
    ])
  func base64Vectors(plain: String, encoded: String) {
    var text: [UInt8] = []
    Base64.encode(Array(plain.utf8).span, to: &text)
    #expect(String(decoding: text, as: UTF8.self) == encoded)
    #expect(Base64.decode(Array(encoded.utf8)) == Array(plain.utf8))
  }

  @Test(
    "Loose base64 is refused",
    arguments: ["Zg", "Zg=", "Zh==", "Zm9=", "Zm9v\n", "Z===", "====", "=m9v", "Zm-_", "Zg==Zg=="])
  func looseBase64(text: String) {
    #expect(Base64.decode(Array(text.utf8)) == nil)
  }

  @Test("Documents keep their order and escape what must be escaped")
  func documents() {
    var document: JSONValue = [
      "b": 1, "a": [nil, true, -2, 0.5, "x\"\n\u{1}"], "c": .unsigned(.max),
    ]
    document.append("d", .number(.infinity))
    #expect(
      String(decoding: document.line, as: UTF8.self)
        == #"{"b":1,"a":[null,true,-2,0.5,"x\"\n\u0001"],"c":18446744073709551615,"d":null}"# + "\n"
    )
    var bytes: [UInt8] = []
    JSONWriter.appendInteger(Int.min, to: &bytes)
    #expect(String(decoding: bytes, as: UTF8.self) == "-9223372036854775808")
  }

  @Test("Written strings are read back as they were", arguments: [31, 32, 33] as [UInt64])
  func strings(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let alphabet = (0..<40).map { Unicode.Scalar(UInt8($0)) } + ["\"", "\\", "a", "é", "漢", "😀"]
    for _ in 0..<2_000 {
      var text = String.UnicodeScalarView()
      for _ in 0..<Int.random(in: 0...40, using: &random) {
        // Mostly plain, so that escapes fall at every place of a word.
        text.append(
          Bool.random(using: &random) ? "x" : alphabet.randomElement(using: &random) ?? "x")
      }
      var bytes: [UInt8] = []
      JSONWriter.appendString(String(text), to: &bytes)
      let value = try JSONScanner.document(bytes.span)
      #expect(
        try JSONText.decode(value, in: bytes.span) == Array(String(text).utf8), "seed \(seed)")
    }
  }
}
