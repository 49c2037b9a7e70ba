# What is installed where, and the Debian package: `scripts/package`, or cpack -G DEB.
#
# The programs go below the prefix (/usr in the package); units, accounts and settings have fixed
# places, which ROWCREW_UNIT_DIR and ROWCREW_CONFIG_DIR move for other systems.
set(ROWCREW_UNIT_DIR /lib/systemd/system CACHE PATH "Where systemd units are installed")
set(ROWCREW_CONFIG_DIR /etc/rowcrew CACHE PATH "Where settings are installed; the units name it")
set(files ${PROJECT_SOURCE_DIR}/systemd)

install(TARGETS rowcrewd rowcrew-ingest rowcrew-cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
# Not on anybody's PATH: the node starts them.
install(TARGETS rowcrew-shim rowcrew-folder rowcrew-image RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/rowcrew)

install(FILES ${files}/rowcrewd@.service ${files}/rowcrew-ingest.service
  ${files}/rowcrew-ingest.socket ${files}/rowcrew-web.service ${files}/rowcrew.target ${files}/rowcrew.slice
  DESTINATION ${ROWCREW_UNIT_DIR})
install(FILES ${files}/rowcrew.sysusers.conf DESTINATION lib/sysusers.d RENAME rowcrew.conf)
install(FILES ${files}/rowcrew.tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME rowcrew.conf)

# Every etc/*.yaml but the annotated examples is a live setting: /etc/rowcrew/<set>.yaml.
file(GLOB examples CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/etc/*.example.yaml)
file(GLOB settings CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/etc/*.yaml)
list(REMOVE_ITEM settings ${examples})
install(FILES ${settings} DESTINATION ${ROWCREW_CONFIG_DIR})

# The texts of mails are the operator's to change: /etc/rowcrew/mail, where kinds.email looks for them.
file(GLOB mails CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/etc/mail/*)
install(FILES ${mails} DESTINATION ${ROWCREW_CONFIG_DIR}/mail)

# For "rowcrew dev", which finds them beside the programs.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/samples/ DESTINATION ${CMAKE_INSTALL_DATADIR}/rowcrew/samples
  PATTERN "*.py" EXCLUDE PATTERN "__pycache__" EXCLUDE)

install(FILES ${examples} ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md
  DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/docs DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/etc/monitoring DESTINATION ${CMAKE_INSTALL_DOCDIR}/etc)
# Where the pages lead to.
file(GLOB kinds RELATIVE ${PROJECT_SOURCE_DIR} CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/workers/*/README.md)
foreach(page IN LISTS kinds ITEMS sql/apps/demo/README.md)
  get_filename_component(folder ${page} DIRECTORY)
  install(FILES ${PROJECT_SOURCE_DIR}/${page} DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

# dpkg asks before it overwrites a conffile that the operator has changed.
set(conffiles "")
foreach(setting IN LISTS settings)
  get_filename_component(name ${setting} NAME)
  string(APPEND conffiles "${ROWCREW_CONFIG_DIR}/${name}\n")
endforeach()
foreach(mail IN LISTS mails)
  get_filename_component(name ${mail} NAME)
  string(APPEND conffiles "${ROWCREW_CONFIG_DIR}/mail/${name}\n")
endforeach()
file(WRITE ${PROJECT_BINARY_DIR}/packaging/conffiles "${conffiles}")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME rowcrew)
set(CPACK_PACKAGE_VENDOR rowcrew)
set(CPACK_PACKAGE_CONTACT "The rowcrew authors <rowcrew@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_THREADS 0)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "tzdata, ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "postgresql (>= 15)")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/packaging/conffiles
  ${PROJECT_SOURCE_DIR}/packaging/postinst ${PROJECT_SOURCE_DIR}/packaging/prerm
  ${PROJECT_SOURCE_DIR}/packaging/postrm)
include(CPack)
