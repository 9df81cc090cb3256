// SPDX-License-Identifier: MIT
#include "audit/kernel/elf_symbols.hpp"

#include <elf.h>

#include <cstring>
#include <fstream>

namespace shootdown::audit {
namespace {

/// Reads `bytes` at `offset`; false beyond the end. A vmlinux is hundreds of megabytes, its symbols few.
bool read_at(std::ifstream& file, std::uint64_t offset, void* to, std::size_t bytes) {
  file.clear();
  file.seekg(static_cast<std::streamoff>(offset));
  return static_cast<bool>(file.read(static_cast<char*>(to), static_cast<std::streamsize>(bytes)));
}

std::uint64_t size_of(std::ifstream& file) {
  file.clear();
  file.seekg(0, std::ios::end);
  return static_cast<std::uint64_t>(file.tellg());
}

std::vector<char> section(std::ifstream& file, const Elf64_Shdr& header) {
  std::vector<char> bytes(header.sh_size <= size_of(file) ? header.sh_size : 0);
  if (!read_at(file, header.sh_offset, bytes.data(), bytes.size())) bytes.clear();
  return bytes;
}

}  // namespace

Expected<SymbolTable> read_elf_symbols(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(ExitCode::missing_input, "cannot read {}", path.string());
  Elf64_Ehdr elf{};
  if (!read_at(file, 0, &elf, sizeof elf) || std::memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
      elf.e_ident[EI_CLASS] != ELFCLASS64 || elf.e_machine != EM_AARCH64)
    return fail(ExitCode::bad_data, "{} is no AArch64 ELF file", path.string());
  std::vector<Elf64_Shdr> headers(elf.e_shnum);
  if (!read_at(file, elf.e_shoff, headers.data(), headers.size() * sizeof(Elf64_Shdr))) headers.clear();

  std::vector<Symbol> symbols;
  for (const Elf64_Shdr& header : headers) {
    if (header.sh_type != SHT_SYMTAB || header.sh_link >= headers.size()) continue;
    const std::vector<char> table = section(file, header);
    std::vector<char> names = section(file, headers[header.sh_link]);
    names.push_back('\0');
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= table.size(); at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, table.data() + at, sizeof symbol);
      const unsigned type = ELF64_ST_TYPE(symbol.st_info);
      if ((type != STT_FUNC && type != STT_NOTYPE) || symbol.st_value == 0 || symbol.st_name >= names.size())
        continue;
      const char* name = names.data() + symbol.st_name;
      // Mapping symbols ($x, $d) say what kind of bytes follow, not what they are called.
      if (*name != '\0' && *name != '$') symbols.push_back({symbol.st_value, name});
    }
  }
  if (symbols.size() < 2)
    return fail(ExitCode::bad_data, "{} has no symbols: it was stripped", path.string());
  return SymbolTable(std::move(symbols));
}

}  // namespace shootdown::audit
