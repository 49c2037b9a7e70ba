# rowcrew_embed_page(<target> <header> <namespace> <dir>): every file of <dir> becomes an entry of kFiles: its
# name, its media type, its bytes.
set(ROWCREW_EMBED_PAGE_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/embed_page_script.cmake)
function(rowcrew_embed_page target header namespace dir)
  file(GLOB files CONFIGURE_DEPENDS ${dir}/*)
  set(out ${PROJECT_BINARY_DIR}/generated/${header})
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DDIR=${dir} -DOUT=${out} -DNAMESPACE=${namespace} -P ${ROWCREW_EMBED_PAGE_SCRIPT}
    DEPENDS ${files} ${ROWCREW_EMBED_PAGE_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${out})
  target_include_directories(${target} PRIVATE ${PROJECT_BINARY_DIR}/generated)
endfunction()
